import { randomBytes } from 'node:crypto'
import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { ConsumerSettings } from '../consumer/consumer-options.js'
import type { HandlerMiddleware } from '../consumer/handler-middleware.js'
import type { AdapterDefinition, Admin, Provision, TopicSpec, TransportDriver } from '../contract/adapter.js'
import type { Capabilities, CapabilityName } from '../contract/capabilities.js'
import { DeadLetterBox, type DeadLetterBoxOptions } from '../dead-letters/dead-letter-box.js'
import { StreamError, toStreamError } from '../errors.js'
import { defaultLogger, type Logger } from '../logger.js'
import { requirePortableName } from '../names.js'
import { isPlainObject } from '../options/fields.js'
import { checkMiddleware } from '../options/middleware.js'
import { Problems } from '../options/problems.js'
import { resolveOptions } from '../options/resolve.js'
import type { Producer, ProducerSettings } from '../producer/producer.js'
import type { SendMiddleware } from '../producer/send-middleware.js'
import type { TopicSelection } from '../topic-pattern.js'
import { requireCapabilities } from './requirements.js'
import { transportFields } from './transport-options.js'
import { parseTransportUrl } from './url.js'

/** Options of `openTransport`, besides the adapter's own, which stand under `options`. */
export interface TransportOptions {
  /** In place of `process.env`. Read now, not at import. */
  readonly environment?: NodeJS.ProcessEnv
  /** Capabilities that the service can't do without: UNSUPPORTED, before any I/O, where the transport lacks one. */
  readonly requires?: readonly CapabilityName[]
  /** Where to tell what happens. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** The adapter's own options, and `prefix`, `provision`, `clientId`. They win over the URL's query and the environment. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Where loops of this transport write dead letters, for a transport that can't keep them itself (HTTP), or by choice. Not closed with this one. */
  readonly deadLetterTransport?: Transport
  /** Stands around the handlers of all its loops and the sends of all its producers, outside of their own `middleware`. */
  readonly middleware?: TransportMiddleware
}

/** Middleware of a whole transport, the first one outermost. */
export interface TransportMiddleware {
  readonly handle?: readonly HandlerMiddleware[]
  readonly send?: readonly SendMiddleware[]
}

/** What can be closed: producers and loops register themselves with their transport. */
interface Closable {
  close(options?: CloseOptions): Promise<void>
}

interface CloseOptions {
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/**
 * One connection's worth of a broker: makes producers and loops, and closes them all. Made by `openTransport`; no I/O happens
 * before the first `init`, `send`, `run` or `admin` call.
 */
export class Transport implements AsyncDisposable {
  /** The adapter's name: `redis`, `kafka`, … */
  readonly name: string
  readonly capabilities: Capabilities
  readonly adapter: AdapterDefinition
  /** @internal */
  readonly driver: TransportDriver
  readonly logger: Logger
  readonly deadLetterTransport: Transport | undefined
  readonly middleware: TransportMiddleware
  /** The address, without secrets. */
  readonly url: string
  readonly #prefix: string
  readonly #provision: Provision
  readonly #open = new Set<Closable>()
  #closing: Promise<void> | undefined

  /** Use `openTransport`, which finds the adapter. */
  constructor(adapter: AdapterDefinition, url: string, options: TransportOptions = {}) {
    const environment = options.environment ?? process.env
    const parsed = parseTransportUrl(url)
    if (!adapter.schemes.includes(parsed.scheme)) {
      throw new StreamError(
        `the ${adapter.name} transport takes ${adapter.schemes.map((scheme) => `${scheme}://`).join(' or ')}, got '${parsed.redacted}'`,
        {
          code: 'INVALID_ARGUMENT',
          transport: adapter.name,
          operation: 'configure',
        },
      )
    }
    requireCapabilities(adapter, options.requires ?? [], 'configure')
    this.middleware = checkedMiddleware(options.middleware ?? {}, adapter.name)
    this.adapter = adapter
    this.name = adapter.name
    this.capabilities = adapter.capabilities
    this.url = parsed.redacted
    this.logger = options.logger ?? defaultLogger
    this.deadLetterTransport = options.deadLetterTransport
    const values = resolveOptions(
      { ...transportFields, ...adapter.options },
      [
        { from: 'code', values: options.options },
        { from: 'url', values: { ...adapter.optionsFromUrl(parsed), ...parsed.query } },
      ],
      environment,
      { subject: `the ${adapter.name} transport`, transport: adapter.name },
    )
    const { clientId, prefix, provision, ...own } = values
    this.#prefix = prefix
    this.#provision = provision
    this.driver = adapter.connect(own, {
      logger: this.logger,
      clientId: clientId ?? `streamswitch-${randomBytes(4).toString('hex')}`,
      prefix,
      environment,
    })
  }

  /** The underlying client, for what Streamswitch doesn't cover; `undefined` while there is none. */
  get native(): unknown {
    return this.driver.native
  }

  get admin(): Admin {
    return this.driver.admin
  }

  /** A producer on this transport. Throws INVALID_ARGUMENT for a bad topic or bad options. */
  producer<T = unknown>(topic: string, options: ProducerSettings<T> = {}): Producer<T> {
    return new (this.adapter.classes().Producer)<T>(topic, { ...options, transport: this })
  }

  /** A loop on this transport, for a topic, a list of topics or a pattern. Throws INVALID_ARGUMENT for a bad topic, pattern, group or bad options. */
  consumer<T = unknown>(topic: TopicSelection, options: ConsumerSettings<T>): ConsumerLoop<T> {
    return new (this.adapter.classes().ConsumerLoop)<T>(topic, { ...options, transport: this })
  }

  /**
   * What a group has given up of a topic: to list, look at, send again to that group alone, and discard. Throws INVALID_ARGUMENT for
   * bad names or options, UNSUPPORTED where nothing keeps dead letters.
   */
  deadLetters(topic: string, options: DeadLetterBoxOptions): DeadLetterBox {
    return new DeadLetterBox(this, topic, options)
  }

  /** How a topic of this name is called and made on the broker. */
  topicSpec(
    topic: string,
    settings: { partitions?: number | undefined; retention?: TopicSpec['retention']; role?: TopicSpec['role'] } = {},
  ): TopicSpec {
    requirePortableName('topic', topic, this.name)
    return {
      topic,
      brokerTopic: this.#prefix + topic,
      partitions: settings.partitions,
      retention: settings.retention ?? {},
      provision: this.#provision,
      role: settings.role ?? 'topic',
    }
  }

  /** What a group of this name is called on the broker. */
  brokerGroup(group: string): string {
    requirePortableName('group', group, this.name)
    return this.#prefix + group
  }

  /** @internal Registers what must be closed before the transport. Throws CLOSED once it is. */
  attach(member: Closable): void {
    if (this.#closing !== undefined) {
      throw new StreamError(`the ${this.name} transport is closed`, {
        code: 'CLOSED',
        transport: this.name,
        operation: 'configure',
      })
    }
    this.#open.add(member)
  }

  /** @internal */
  detach(member: Closable): void {
    this.#open.delete(member)
  }

  /**
   * Closes its loops first, then its producers, so that a running handler may still send, then the connection. Each gets
   * `timeoutMs` (default: its own); `signal` ends these waits at once. Later calls share the first one's promise.
   */
  close(options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(options: CloseOptions): Promise<void> {
    const members = [...this.#open]
    await this.#closeAll(
      members.filter((member) => 'run' in member),
      options,
    )
    await this.#closeAll(
      members.filter((member) => !('run' in member)),
      options,
    )
    await this.driver.close()
  }

  async #closeAll(members: readonly Closable[], options: CloseOptions): Promise<void> {
    const results = await Promise.allSettled(members.map((member) => member.close(options)))
    for (const result of results) {
      if (result.status === 'rejected')
        this.logger.error(
          toStreamError(result.reason, { code: 'UNKNOWN', transport: this.name, operation: 'close' }).message,
        )
    }
  }
}

function checkedMiddleware(given: TransportMiddleware, transport: string): TransportMiddleware {
  const problems = new Problems()
  if (!isPlainObject(given)) problems.add('middleware', 'must be { handle: […], send: […] }')
  for (const [name, list] of Object.entries(given)) {
    if (name !== 'handle' && name !== 'send')
      problems.add(`middleware.${name}`, "unknown; known are 'handle' and 'send'")
    const checked = list === undefined ? list : checkMiddleware(list)
    if (typeof checked === 'string') problems.add(`middleware.${name}`, checked)
  }
  problems.throwIfAny(`invalid options of the ${transport} transport`, { transport, operation: 'configure' })
  return given
}
