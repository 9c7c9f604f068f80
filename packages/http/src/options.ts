import {
  bracketed,
  type OptionInput,
  type OptionValues,
  option,
  secretOption,
  type TlsOptions,
  type TransportUrl,
  tlsFields,
} from '@streamswitch/core/driver'
import { checkAuthorize, checkHosts, checkOrigins, checkProxies, listenTokensOption } from './access-options.js'
import type { Endpoints, ListenAddress, Routes } from './option-checks.js'
import { checkBaseUrls, checkEndpoints, checkListen, checkRoutes } from './option-checks.js'
import type { Authorize } from './server/authorization.js'
import { foreignHeadersOption } from './wire/foreign-headers.js'

/** Options of the HTTP transport: `http://host:port/base?connections=…`. */
export const httpFields = {
  ...tlsFields,
  /** Base URLs of the other side; several are replicas of one service. In a URL they are its hosts and path. */
  baseUrls: option.custom<readonly string[]>('string[]', checkBaseUrls),
  /** User for `Authorization: Basic`, sent to the base URL and the routes. In a URL it is the user. */
  username: option.text(),
  /** Password of `username`: in the URL, a string, or a file or function, read again after a 401. */
  password: secretOption({ environment: 'HTTP_PASSWORD' }),
  /** Token for `Authorization: Bearer`, sent to the base URL and the routes, never to endpoints. Read again after a 401. */
  token: secretOption({ environment: 'HTTP_TOKEN' }),
  /**
   * Receivers of a topic: `{ topic: { group: [base URL, …] } }`, in a variable as JSON. Topics without a route are sent
   * to the base URL, which passes them to all its groups.
   * @default {}
   */
  routes: option.custom<Routes>('object or JSON: topic -> group -> list of base URLs', checkRoutes, {
    default: {},
    environment: 'HTTP_ROUTES',
  }),
  /**
   * Plain HTTP receivers without Streamswitch: `{ topic: URL | { url, method, contentType, token } | list of those }`,
   * in a variable as JSON. Each is a separate group.
   * @default {}
   */
  endpoints: option.custom<Endpoints>(
    'object or JSON: topic -> URL or { url, method, contentType, token }, or a list of them',
    checkEndpoints,
    {
      default: {},
      environment: 'HTTP_ENDPOINTS',
    },
  ),
  /**
   * Address on which loops of this process listen: `host:port`. Default: the URL's host and port if that host is this
   * machine's loopback, else its port on all interfaces.
   */
  listen: option.custom<ListenAddress>('host:port', checkListen, { environment: 'HTTP_LISTEN' }),
  /** Port on which loops of this process listen, on all interfaces; 0: any free one. `listen` takes precedence. */
  port: option.integer({ min: 0, max: 65_535 }),
  /** Path below which loops of this process listen. Default: the URL's path. */
  listenPath: option.text({ environment: 'HTTP_LISTEN_PATH' }),
  /** File with the certificate chain (PEM) of the listening side: enables TLS for loops. */
  listenTlsCertFile: option.text({ environment: 'HTTP_LISTEN_TLS_CERT_FILE' }),
  /** File with the private key of `listenTlsCertFile` (PEM). */
  listenTlsKeyFile: option.text({ environment: 'HTTP_LISTEN_TLS_KEY_FILE' }),
  /** File with certificate authorities (PEM): only clients with a certificate signed by one of them are accepted. */
  listenTlsCaFile: option.text({ environment: 'HTTP_LISTEN_TLS_CA_FILE' }),
  /**
   * Token that senders must present as `Authorization: Bearer`; a file or function is read again while requests arrive.
   * Default: none, any client that can connect may send; a warning is logged for addresses beyond loopback.
   */
  listenToken: secretOption({ environment: 'HTTP_LISTEN_TOKEN' }),
  /**
   * Tokens by name, one of which senders must present as `Authorization: Bearer`: `{ billing: 'x', audit: [{ file:
   * '/run/old' }, { file: '/run/new' }] }`, in a variable as JSON. All tokens of a list are valid, so that one can be
   * replaced step by step; `authorize` receives the name. `listenToken` is a further one, named `default`.
   */
  listenTokens: listenTokensOption({ environment: 'HTTP_LISTEN_TOKENS' }),
  /**
   * Decides whether a request may reach a group of a topic: a function `(request, { topic, group }) => boolean` or a
   * promise of it, called before the body is read. `request` has `principal` (the token's name, the certificate),
   * `address`, `method`, `path` and `headers`. Anything but `true` is answered with 403. Default: any client with a
   * valid token and certificate may send to all.
   */
  authorize: option.custom<Authorize>('function', checkAuthorize),
  /**
   * Origins of web pages whose browsers may send requests, and read the responses (CORS): `https://app.example`.
   * Default: none; requests with another `Origin`, or a `Sec-Fetch-Site` other than `none`, are answered with 403.
   * @default []
   */
  allowedOrigins: option.custom<readonly string[]>('list of origins', checkOrigins, {
    default: [],
    environment: 'HTTP_ALLOWED_ORIGINS',
  }),
  /**
   * Hosts that requests may be addressed to (`Host`), with a port to allow only that one: `billing.internal`,
   * `*.example.org`, `[::1]:8080`; `*`: any. Others are answered with 403. Default: on a loopback address `localhost`,
   * names below it, IP addresses and the host of `listen`; elsewhere any.
   */
  allowedHosts: option.custom<readonly string[]>('list of hosts', checkHosts, { environment: 'HTTP_ALLOWED_HOSTS' }),
  /**
   * Proxies whose `x-forwarded-for` is trusted for the client's address: IP addresses, ranges (`10.0.0.0/8`),
   * `loopback`, `linklocal`, `uniquelocal`. Default: none, such headers are ignored.
   * @default []
   */
  trustedProxies: option.custom<readonly string[]>('list of IP addresses and ranges', checkProxies, {
    default: [],
    environment: 'HTTP_TRUSTED_PROXIES',
  }),
  /**
   * Senders whose `streamswitch-only-group`, `streamswitch-except` and `streamswitch-attempt` are accepted: those with
   * a token or certificate, or all. The headers of others are ignored.
   * @default 'authenticated'
   */
  routingHeaders: option.choice(['authenticated', 'all'], {
    default: 'authenticated',
    environment: 'HTTP_ROUTING_HEADERS',
  }),
  /**
   * Names of the headers of foreign requests that become headers of messages, with `*` for any characters. Default: all
   * except those of HTTP, browsers and proxies (`forwarded`, `via`, `x-forwarded-*`, …) and those that may be
   * credentials (`authorization`, `cookie`, `x-api-key`, …), which are accepted only if their whole names are listed.
   * They are stored with a dead letter.
   */
  foreignHeaders: foreignHeadersOption('HTTP_FOREIGN_HEADERS'),
  /**
   * Maximum number of connections per subscriber, and so of its requests in flight.
   * @default 50
   */
  connections: option.integer({ default: 50, min: 1, max: 10_000 }),
  /**
   * Maximum time to open a connection, in milliseconds.
   * @default 5000 (5 s)
   */
  connectionTimeoutMs: option.integer({ default: 5_000, min: 1 }),
  /**
   * Maximum time for a request to wait for its response, which waits for the handler, in milliseconds. A resend joins a
   * handler that is still running.
   * @default 30000 (30 s)
   */
  responseTimeoutMs: option.integer({ default: 30_000, min: 10 }),
  /**
   * Maximum number of records in one request.
   * @default 500
   */
  maxRequestRecords: option.integer({ default: 500, min: 1, max: 10_000 }),
  /**
   * Maximum size of a request body, sent or received, in bytes.
   * @default 8388608 (8 MiB)
   */
  maxRequestBytes: option.integer({ default: 8 * 1024 * 1024, min: 1024 }),
  /**
   * Maximum payload of one message, in bytes: checked before sending and when receiving (413).
   * @default 1048576 (1 MiB)
   */
  maxPayloadBytes: option.integer({ default: 1024 * 1024, min: 1 }),
  /**
   * Maximum time for a client to send one request, in milliseconds; then 408 and the end of the connection.
   * @default 30000 (30 s)
   */
  requestTimeoutMs: option.integer({ default: 30_000, min: 100 }),
  /**
   * Maximum time for a client to send a request's headers, and for its TLS handshake, in milliseconds; then 408 and the
   * end of the connection.
   * @default 10000 (10 s)
   */
  headersTimeoutMs: option.integer({ default: 10_000, min: 100 }),
  /**
   * How long an idle connection of a client is kept, in milliseconds.
   * @default 65000 (65 s)
   */
  keepAliveTimeoutMs: option.integer({ default: 65_000, min: 1 }),
  /**
   * Maximum number of connections on the listening side. A new one beyond it replaces one without a request, the
   * longest idle first; if all wait for handlers it is refused.
   * @default 10000
   */
  maxConnections: option.integer({ default: 10_000, min: 1 }),
}

/** Options of producers, under `http`. */
export const httpProducerFields = {
  /** A plain HTTP receiver for this producer's messages, instead of base URL, routes and `endpoints`. */
  endpoint: option.text(),
  /**
   * Method for `endpoint`. GET converts the members of a JSON object to query parameters.
   * @default 'POST'
   */
  method: option.choice(['POST', 'GET'], { default: 'POST' }),
  /** Content-Type of single messages. Default: the codec's. A record's own `content-type` header takes precedence. */
  contentType: option.text(),
  /**
   * How long to retry when receivers don't know a message's topic or group (404), in milliseconds, before `send`
   * rejects with NOT_FOUND: they may be starting up.
   * @default 5000 (5 s)
   */
  notFoundGraceMs: option.integer({ default: 5_000, min: 0 }),
}

/** Options of loops, under `http`. */
export const httpConsumerFields = {
  /**
   * GET` also accepts GET requests: their query parameters become a JSON object.
   * @default 'POST'
   */
  method: option.choice(['POST', 'GET'], { default: 'POST' }),
  /**
   * Accepts requests that browsers send for any web page, by its links, images and forms. Without it they are answered
   * with 403, and a loop with `method: 'GET'` that can be reached from other machines requires a token or client
   * certificates.
   * @default false
   */
  allowBrowsers: option.flag({ default: false }),
  /**
   * Maximum number of records waiting for room in the loop, with their requests unanswered; further ones are answered
   * with 429 and Retry-After.
   * @default 2000
   */
  maxWaitingRecords: option.integer({ default: 2_000, min: 0 }),
  /**
   * Maximum size of such records, in bytes.
   * @default 16777216 (16 MiB)
   */
  maxWaitingBytes: option.integer({ default: 16 * 1024 * 1024, min: 0 }),
  /**
   * Whether the sender of a message receives the message of a handler's error: `authenticated` only with a token or
   * client certificate, or from this machine without a proxy, `message` always, `none` never. The error of a reply
   * always has it.
   * @default 'authenticated'
   */
  errorDetail: option.choice(['authenticated', 'message', 'none'], { default: 'authenticated' }),
}

export type HttpOptions = OptionInput<Omit<typeof httpFields, keyof TlsOptions>> & TlsOptions
export type HttpProducerOptions = OptionInput<typeof httpProducerFields>
export type HttpConsumerOptions = OptionInput<typeof httpConsumerFields>

declare module '@streamswitch/core/driver' {
  interface AdapterOptionTypes {
    readonly http: { readonly producer: HttpProducerOptions; readonly consumer: HttpConsumerOptions }
  }
}
export type HttpOptionValues = OptionValues<typeof httpFields>
export type HttpProducerOptionValues = OptionValues<typeof httpProducerFields>
export type HttpConsumerOptionValues = OptionValues<typeof httpConsumerFields>

/** Returns the options in a URL: hosts, path, user and password. */
export function optionsFromUrl(url: TransportUrl): Readonly<Record<string, unknown>> {
  const path = url.path
    .split('/')
    .filter((segment) => segment !== '')
    .map((segment) => `/${encodeURIComponent(segment)}`)
    .join('')
  const hosts = url.hosts.length === 0 ? [{ host: '127.0.0.1', port: undefined }] : url.hosts
  const baseUrls = hosts.map(({ host, port }) => {
    return `${url.scheme}://${bracketed(host)}${port === undefined ? '' : `:${port}`}${path}`
  })
  return { baseUrls, username: url.username, password: url.password }
}
