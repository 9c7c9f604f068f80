import { isIP } from 'node:net'
import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  isLoopback,
  type Logger,
  type ProducerDriver,
  type ProducerSpec,
  type ReplyChannel,
  type StreamError,
  type TopicDiscovery,
  type TopicSearch,
  type TransportContext,
  type TransportDriver,
  warnOfCleartext,
  withSignal,
} from '@streamswitch/core/driver'
import type { FastifyInstance } from 'fastify'
import { DEFAULT_TOKEN_NAME } from './access-options.js'
import { HttpAdmin } from './admin.js'
import { HttpClient } from './client/http-client.js'
import { HttpConsumerDriver } from './consumer.js'
import { type OpeningLoop, requireGuardedGet } from './guarded-get.js'
import { defaultListen, type ListenAddress } from './option-checks.js'
import type { HttpConsumerOptionValues, HttpOptionValues, HttpProducerOptionValues } from './options.js'
import { HttpProducerDriver } from './producer.js'
import { httpReplies } from './replies.js'
import { FoundTopics } from './server/found-topics.js'
import type { NamedSecret } from './server/listen-tokens.js'
import { type Lease, lease } from './server/listener.js'

/** What `transport.native` is: the listening side, while a loop of the transport is open. */
export interface HttpNative {
  readonly server: FastifyInstance | undefined
  /** Where it listens; with the port that was found where 0 was asked for. */
  readonly address: ListenAddress | undefined
}

/** One HTTP transport: a sending side, and a share of the process's listening side. */
export class HttpConnection implements TransportDriver {
  readonly admin: HttpAdmin
  readonly replies: ReplyChannel
  readonly #options: HttpOptionValues
  readonly #context: TransportContext
  readonly #client: HttpClient
  readonly #listenAddress: ListenAddress
  readonly #listenPath: string
  #lease: Lease | undefined
  #warned = false

  constructor(options: HttpOptionValues, context: TransportContext) {
    const [baseUrl = 'http://127.0.0.1'] = options.baseUrls ?? []
    this.#options = options
    this.#context = context
    this.#client = new HttpClient(options, context.logger)
    this.#listenAddress =
      options.listen ?? (options.port === undefined ? defaultListen(baseUrl) : { host: '0.0.0.0', port: options.port })
    this.#listenPath = normalizePath(options.listenPath ?? new URL(baseUrl).pathname)
    warnOfCredentials(options, context.logger)
    this.admin = new HttpAdmin(options)
    this.replies = httpReplies(options.maxPayloadBytes)
  }

  get native(): HttpNative {
    return { server: this.#lease?.server, address: this.#lease?.address }
  }

  producer(spec: ProducerSpec): ProducerDriver {
    return new HttpProducerDriver(
      spec as ProducerSpec<HttpProducerOptionValues>,
      this.#options,
      this.#context,
      this.#client,
    )
  }

  consumer(spec: ConsumerSpec, sink: ConsumerSink): ConsumerDriver {
    const own = spec as ConsumerSpec<HttpConsumerOptionValues>
    const { group, options } = own
    const loop = { topic: own.topics.map(({ topic }) => topic).join(','), group, options }
    return new HttpConsumerDriver(own, sink, this.#listenPath, (report) => this.#listenFor(loop, report))
  }

  /** Topics are known by what senders name. */
  async discover(search: TopicSearch, signal: AbortSignal): Promise<TopicDiscovery> {
    const { prefix, nativeTopics, logger } = this.#context
    const portable = new Map(Object.entries(nativeTopics).map(([topic, { name }]) => [name, topic]))
    const options = search.options as HttpConsumerOptionValues
    const loop = { topic: 'by pattern', group: search.group, options }
    const opening = this.#listenFor(loop, (error) => logger.error(error.message))
    const { hub, release } = await withSignal(opening, signal).catch((error: unknown) => {
      // Given up: it would listen forever.
      opening.then((late) => late.release()).catch(() => {})
      throw error
    })
    const found = new FoundTopics({
      search,
      inboxOf: (topic) =>
        hub.inbox(`${this.#listenPath}/${nativeTopics[topic]?.name ?? prefix + topic}`, search.brokerGroup),
      warn: (message) => logger.warn(`http: group ${search.brokerGroup}: ${message}`),
    })
    const topicOf = (brokerTopic: string): string => {
      const own = brokerTopic.startsWith(prefix) ? brokerTopic.slice(prefix.length) : ''
      return portable.get(brokerTopic) ?? (nativeTopics[own] === undefined ? own : '')
    }
    const leave = hub.search({
      group: search.brokerGroup,
      basePath: this.#listenPath,
      takesBrowsers: options.allowBrowsers,
      destination: (brokerTopic) => {
        const topic = topicOf(brokerTopic)
        return search.accepts(topic) ? { topic, group: search.group } : undefined
      },
      find: (brokerTopic) => found.find(topicOf(brokerTopic)),
    })
    return {
      close: async () => {
        leave()
        found.close()
        await release()
      },
    }
  }

  async close(): Promise<void> {
    await this.#client.close()
  }

  /** Whether a server at this address lets everybody in who can connect, and not only from this machine. */
  #isOpenAt(host: string): boolean {
    const { listenTlsCaFile } = this.#options
    return listenTlsCaFile === undefined && namedSecrets(this.#options).length === 0 && !isLoopback(host)
  }

  async #listenFor(loop: OpeningLoop, report: (error: StreamError) => void): Promise<Lease> {
    const { host } = this.#listenAddress
    // Of an address that is known before it listens, of a name once it was looked up.
    if (isIP(host) > 0 && this.#isOpenAt(host)) requireGuardedGet(loop)
    const held = await this.#listen(report)
    try {
      if (held.exposed) requireGuardedGet(loop)
    } catch (error) {
      await held.release()
      throw error
    }
    return held
  }

  async #listen(report: (error: StreamError) => void): Promise<Lease> {
    const {
      maxPayloadBytes,
      maxRequestBytes,
      maxConnections,
      requestTimeoutMs,
      headersTimeoutMs,
      keepAliveTimeoutMs,
      allowedOrigins,
      allowedHosts,
      trustedProxies,
      routingHeaders,
      authorize,
      foreignHeaders,
    } = this.#options
    const limits = {
      maxPayloadBytes,
      maxRequestBytes,
      maxConnections,
      requestTimeoutMs,
      headersTimeoutMs,
      keepAliveTimeoutMs,
      foreignHeaders,
      allowedOrigins,
      allowedHosts,
      trustedProxies,
      routingHeaders,
    }
    const certificates = certificateFiles(this.#options)
    const tokens = namedSecrets(this.#options)
    const held = await lease({ address: this.#listenAddress, limits, certificates, tokens, authorize, report })
    this.#lease = held
    if (held.exposed && authorize === undefined && !this.#warned) {
      this.#warned = true
      this.#context.logger.warn(
        `http: any client that can connect to ${this.#listenAddress.host}:${held.address.port} may send: set listenToken (HTTP_LISTEN_TOKEN), listenTokens or listenTlsCaFile, or listen on a loopback address`,
      )
    }
    return {
      ...held,
      release: () => {
        if (this.#lease === held) this.#lease = undefined
        return held.release()
      },
    }
  }
}

function warnOfCredentials(
  { token, password, baseUrls = [], routes, endpoints }: HttpOptionValues,
  logger: Logger,
): void {
  const routed = Object.values(routes).flatMap((groups) => Object.values(groups).flat())
  const own = token === undefined && password === undefined ? [] : [...baseUrls, ...routed]
  const foreign = Object.values(endpoints).flatMap((list) => list.filter((one) => one.token !== undefined))
  const plain = [...own, ...foreign.map(({ url }) => url)].map((url) => new URL(url)).filter(isPlain)
  const what = token === undefined && foreign.length === 0 ? 'the password' : 'the token'
  const hosts = plain.map(({ host }) => host)
  warnOfCleartext({ transport: 'http', logger, what, hosts, advice: 'use https:// URLs' })
}

function isPlain({ protocol }: URL): boolean {
  return protocol === 'http:'
}

function namedSecrets({ listenToken, listenTokens = {} }: HttpOptionValues): readonly NamedSecret[] {
  const named = Object.entries(listenTokens).flatMap(([name, given]) =>
    (isList(given) ? given : [given]).map((secret) => ({ name, secret })),
  )
  return listenToken === undefined ? named : [{ name: DEFAULT_TOKEN_NAME, secret: listenToken }, ...named]
}

function isList<One>(given: One | readonly One[]): given is readonly One[] {
  return Array.isArray(given)
}

function certificateFiles({ listenTlsCertFile, listenTlsKeyFile, listenTlsCaFile }: HttpOptionValues) {
  if (listenTlsCertFile === undefined || listenTlsKeyFile === undefined) return undefined
  return { listenTlsCertFile, listenTlsKeyFile, ...(listenTlsCaFile === undefined ? {} : { listenTlsCaFile }) }
}

function normalizePath(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' || trimmed.startsWith('/') ? trimmed : `/${trimmed}`
}
