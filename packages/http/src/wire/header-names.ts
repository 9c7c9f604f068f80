import { RESERVED_PREFIX, WIRE_HEADERS } from '@streamswitch/core/driver'

/** Headers that travel with a single message besides the user's own. */
export const HTTP_HEADERS = {
  /** Percent-encoded. `idempotency-key` carries the same text for intermediaries. */
  id: WIRE_HEADERS.id,
  /** Percent-encoded; empty is the empty key, none is no key. */
  key: WIRE_HEADERS.key,
  timestamp: WIRE_HEADERS.timestamp,
  tombstone: WIRE_HEADERS.tombstone,
  idempotencyKey: 'idempotency-key',
  /** Names of the user's headers that travel as themselves, separated by commas. */
  plain: 'streamswitch-headers',
  /** The user's other headers: `name=value&…`, both percent-encoded. */
  encoded: 'streamswitch-encoded-headers',
  /** Which start of a handler this would be, from 1; for several groups `billing=2,audit=1`. */
  attempt: 'streamswitch-attempt',
  /** How many of those sends ended without an answer, so that it is unknown whether a handler was started. */
  unanswered: 'streamswitch-unanswered',
  /** How often the sender sent it before: 0 at the first time. */
  resend: 'streamswitch-resend',
  /** Groups that have accepted it already, separated by commas. */
  except: 'streamswitch-except',
} as const

/** Fields of one connection, or of the body as it travels on it: never part of a message (RFC 9110, sections 7.6.1 and 8). */
const OF_CONNECTION = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Names that HTTP, browsers or the libraries give a meaning to. */
const OF_HTTP = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-type',
  'date',
  'idempotency-key',
  'origin',
  'pragma',
  'priority',
  'range',
  // A URL, with the query of a page.
  'referer',
  'upgrade-insecure-requests',
  'user-agent',
])

/** What proxies say of the client: its addresses, its certificate, the target that it asked for. */
const OF_PROXIES =
  /^(?:forwarded|via|true-client-ip|remote-user|cf-.*|fastly-.*|x-forwarded(?:-.*)?|x-real-.*|x-(?:cluster-)?client-.*|x-original-.*|x-envoy-.*|x-remote-.*|x-(?:ssl|tls)-.*|(?:ssl|tls)-client-.*)$/

/** What proves who the client is, under the names that services give it: `authorization`, `cookie`, `x-api-key`, `x-auth-token`, … */
const CREDENTIAL =
  /^(?:.*[-_])?(?:(?:access|account|api|functions?|private|rapidapi|service|shared|subscription)[-_]?key|auth|authentication|authorization|bearer|cookie2?|credentials?|csrf|jwt|passw(?:or)?d|secret|session|session-?id|token|xsrf)(?:[-_].*)?$/

/** Whether a header says something of one connection only. */
export function isOfConnection(name: string): boolean {
  return OF_CONNECTION.has(name)
}

/**
 * Whether a header is HTTP's own, of a proxy, or may be a credential. A user's header of that name travels encoded; of a foreign request it
 * becomes no header of the message unless that is asked for, `content-type` apart.
 */
export function belongsToHttp(name: string): boolean {
  return (
    OF_CONNECTION.has(name) ||
    OF_HTTP.has(name) ||
    /^(?:proxy|sec|if|access-control)-/.test(name) ||
    OF_PROXIES.test(name) ||
    CREDENTIAL.test(name)
  )
}

/** Lower-case token characters of RFC 9110, section 5.6.2. */
const PLAIN_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/
/** Printable ASCII that neither begins nor ends with a space: nothing on the way may change it. */
const PLAIN_VALUE = /^[!-~](?:[ -~]*[!-~])?$/

/** Whether a user's header may travel as itself. */
export function travelsPlain(name: string, value: string): boolean {
  // Node.js keeps received headers in a plain object, which has no room for __proto__.
  return (
    name !== '__proto__' &&
    PLAIN_NAME.test(name) &&
    PLAIN_VALUE.test(value) &&
    !belongsToHttp(name) &&
    !name.startsWith(RESERVED_PREFIX)
  )
}
