import { randomBytes } from 'node:crypto'
import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { ConsumerSettings } from '../consumer/consumer-options.js'
import type { HandlerMiddleware } from '../consumer/handler-middleware.js'
import type { AdapterDefinition, Admin, GroupNames, TopicSpec, TransportDriver } from '../contract/adapter.js'
import type { Capabilities, CapabilityName } from '../contract/capabilities.js'
import type { ReplyChannel } from '../contract/replies.js'
import { DeadLetterBox, type DeadLetterBoxOptions } from '../dead-letters/dead-letter-box.js'
import { deadLetterSpec, deadLetterTarget } from '../dead-letters/dead-letter-target.js'
import { StreamError, toStreamError } from '../errors.js'
import { ReplyInbox } from '../feedback/reply-inbox.js'
import { ReplySender } from '../feedback/reply-sender.js'
import { channelOf } from '../feedback/topic-replies.js'
import { type Logger, printableLogger } from '../logger.js'
import { type TopicSettings, TransportNames } from '../native-names/transport-names.js'
import { type CloseOptions, closeFields, requireNames, withOptions } from '../options/call-options.js'
import { isPlainObject } from '../options/fields.js'
import { checkMiddleware } from '../options/middleware.js'
import { Problems } from '../options/problems.js'
import { resolveOptions } from '../options/resolve.js'
import type { Producer, ProducerSettings } from '../producer/producer.js'
import type { SendMiddleware } from '../producer/send-middleware.js'
import type { TopicSelection } from '../topic-pattern.js'
import { CheckedAdmin, requireTopicSettings } from './checked-admin.js'
import { requireCapabilities } from './requirements.js'
import { transportFields } from './transport-options.js'
import { parseTransportUrl } from './url.js'

/** Options of `openTransport`. The adapter's own are under `options`. */
export interface TransportOptions {
  /** Environment variables to use instead of `process.env`. Read now, not at import. */
  readonly environment?: NodeJS.ProcessEnv
  /**
   * Capabilities that the service requires: `openTransport` rejects with UNSUPPORTED, before any I/O, when the
   * transport lacks one.
   */
  readonly requires?: readonly CapabilityName[]
  /** Logger. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /**
   * The adapter's own options, and `prefix`, `provision`, `clientId`. They take precedence over the URL's query and the
   * environment.
   */
  readonly options?: Readonly<Record<string, unknown>>
  /**
   * Transport to which loops of this transport write dead letters, if it can't store them itself (HTTP), or by choice.
   * Not closed with this one.
   */
  readonly deadLetterTransport?: Transport
  /**
   * Transport for replies to requests, or its URL. Must be the same on both sides. Default:
   * `STREAMSWITCH_FEEDBACK_URL`, else this transport itself. If given as a URL, it is closed with this one, and has its
   * `prefix`, `provision` and `clientId`.
   */
  readonly feedback?: Transport | string
  /**
   * Middleware around the handlers of all its loops and the sends of all its producers, around their own
   * `middleware`.
   */
  readonly middleware?: TransportMiddleware
}

/** Middleware of a whole transport, the first one outermost. */
export interface TransportMiddleware {
  readonly handle?: readonly HandlerMiddleware[]
  readonly send?: readonly SendMiddleware[]
}

/** Maximum time for replies in flight when the transport is closed, in milliseconds. */
const REPLIES_CLOSE_MS = 5_000

/** Closable with its transport: producers and loops register themselves. */
interface Closable {
  close(options?: CloseOptions): Promise<void>
}

/**
 * Returns the driver of a transport, for what an adapter offers besides transports, such as a dedupe store on the same
 * server.
 */
export function driverOf(transport: Transport): TransportDriver {
  return transport.driver
}

/** Returns the open loops, producers and other parts of a transport. A new list for each call. */
export function openPartsOf(transport: Transport): readonly object[] {
  return transport.openParts
}

/**
 * An open transport: creates producers and loops, and closes them all. Created by `openTransport`; no I/O happens
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
  /** The transport for replies to this transport's requests: itself, unless another was configured. */
  readonly feedback: Transport
  readonly middleware: TransportMiddleware
  /** The address, without secrets. */
  readonly url: string
  readonly #ownsFeedback: boolean
  readonly #replyTtlMs: number
  readonly #replyInboxes = new Map<ReplyChannel, ReplyInbox>()
  readonly #replySenders = new Map<ReplyChannel, ReplySender>()
  readonly #names: TransportNames
  readonly #open = new Set<Closable>()
  /** By topic, the first of its loops and producers that use the default number of partitions. */
  readonly #openedWithoutPartitions = new Map<string, string>()
  #admin: Admin | undefined
  #closing: Promise<void> | undefined

  /** Use `openTransport`, which finds the adapter. */
  constructor(
    adapter: AdapterDefinition,
    url: string,
    options: TransportOptions & { readonly ownsFeedback?: boolean } = {},
  ) {
    requireTransportOptions(options, adapter)
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
    this.logger = printableLogger(options.logger)
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
    const { clientId, prefix, provision, topics, groups, replyTtlMs, ...own } = values
    this.#replyTtlMs = replyTtlMs
    this.#names = new TransportNames({ adapter, prefix, provision, topics, groups })
    this.driver = adapter.connect(own, {
      logger: this.logger,
      clientId: clientId ?? `streamswitch-${randomBytes(4).toString('hex')}`,
      prefix,
      nativeTopics: topics,
      nativeGroups: groups,
      requires: options.requires ?? [],
      environment,
    })
    const { feedback } = options
    if (typeof feedback === 'string') {
      throw new StreamError('the feedback transport is given as a URL: open this transport by openTransport()', {
        code: 'INVALID_ARGUMENT',
        transport: adapter.name,
        operation: 'configure',
      })
    }
    this.feedback = feedback ?? this
    this.#ownsFeedback = options.ownsFeedback === true
  }

  /** @internal The inbox for replies to the requests of `main`, created at the first one. */
  replyInbox(main: Transport): ReplyInbox {
    this.#requireOpen()
    const channel = channelOf(this, main)
    const inbox = this.#replyInboxes.get(channel) ?? new ReplyInbox(this, channel, { ttlMs: this.#replyTtlMs })
    this.#replyInboxes.set(channel, inbox)
    return inbox
  }

  /** @internal The sender of replies to the requests of `main`, created at the first reply. */
  replySender(main: Transport): ReplySender {
    const channel = channelOf(this, main)
    const sender = this.#replySenders.get(channel) ?? new ReplySender(this, channel, { ttlMs: this.#replyTtlMs })
    this.#replySenders.set(channel, sender)
    return sender
  }

  /** The underlying client, for features that Streamswitch doesn't cover; `undefined` while there is none. */
  get native(): unknown {
    return this.driver.native
  }

  get admin(): Admin {
    this.#admin ??= new CheckedAdmin(this.driver.admin, this.name)
    return this.#admin
  }

  /** Creates a producer on this transport. Throws INVALID_ARGUMENT for a bad topic or bad options. */
  producer<T = unknown>(topic: string, options: ProducerSettings<T> = {}): Producer<T> {
    return new (this.adapter.classes().Producer)<T>(topic, { ...options, transport: this })
  }

  /**
   * Creates a consumer loop on this transport, for a topic, a list of topics or a pattern. Throws INVALID_ARGUMENT for
   * a bad topic, pattern, group or bad options.
   */
  consumer<T = unknown>(topic: TopicSelection, options: ConsumerSettings<T>): ConsumerLoop<T> {
    return new (this.adapter.classes().ConsumerLoop)<T>(topic, { ...options, transport: this })
  }

  /**
   * Returns access to a group's dead letters of a topic: list them, send them again to that group alone, or discard
   * them. Throws INVALID_ARGUMENT for bad names or options, UNSUPPORTED when no transport stores them.
   */
  deadLetters(topic: string, options: DeadLetterBoxOptions): DeadLetterBox {
    return new DeadLetterBox(this, topic, options)
  }

  /**
   * Returns the name and settings of a topic on the broker: `prefix` and name, or its native name. Throws
   * INVALID_ARGUMENT for an invalid name, UNSUPPORTED for a native name on a transport without them.
   *
   * @param opener - the loop or producer that asks, for errors of others.
   */
  topicSpec(topic: string, settings: TopicSettings = {}, opener?: string): TopicSpec {
    requireTopicSettings(settings, topic, this.name)
    const spec = this.#names.topic(topic, settings)
    const openers = this.#openedWithoutPartitions
    if (opener !== undefined && settings.partitions === undefined && !openers.has(topic)) openers.set(topic, opener)
    return {
      ...spec,
      get openedWithoutPartitions() {
        return openers.get(topic)
      },
    }
  }

  /** Returns the default topic for a group's dead letters: `orders.billing.dlq`. */
  deadLetterSpec(topic: string, group: string): TopicSpec {
    const target = deadLetterTarget(this.topicSpec(topic), this.groupNames(group), undefined)
    return deadLetterSpec(this.deadLetterTransport ?? this, target)
  }

  /** Returns the name of a group on the broker. Throws as {@link topicSpec} does. */
  brokerGroup(group: string): string {
    return this.#names.group(group, undefined).brokerGroup
  }

  /** All the names of a group, for the specs of drivers. Throws as {@link topicSpec} does. */
  groupNames(group: string, nativeName?: string): GroupNames {
    return this.#names.group(group, nativeName)
  }

  /** @internal Returns a topic that belongs to a native one: its name is derived, and has no prefix. */
  derivedTopicSpec(name: string, role: TopicSpec['role']): TopicSpec {
    return this.#names.derivedTopic(name, { role })
  }

  /** @internal As {@link derivedTopicSpec}, for a group. */
  derivedGroupNames(name: string): GroupNames {
    return this.#names.derivedGroup(name)
  }

  /** @internal Portable names that have a native one by `topics`. */
  get mappedTopics(): readonly string[] {
    return this.#names.mappedTopics
  }

  /**
   * @internal
   */
  get openParts(): readonly object[] {
    return [...this.#open]
  }

  /**
   * @internal Registers what must be closed before the transport. Throws CLOSED once the transport is closed.
   */
  attach(member: Closable): void {
    this.#requireOpen()
    this.#open.add(member)
  }

  /** @internal */
  detach(member: Closable): void {
    this.#open.delete(member)
  }

  /**
   * Closes its loops first, then its producers (so that a running handler can still send), then the connection. Each
   * gets `timeoutMs` (default: its own); `signal` ends these waits immediately. Later calls return the first call's
   * promise. Rejects with INVALID_ARGUMENT for bad options; nothing is closed then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    const context = { subject: `close of the ${this.name} transport`, transport: this.name, operation: 'close' }
    return withOptions(closeFields, options, context, (checked) => {
      this.#closing ??= this.#close(checked)
      return this.#closing
    })
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
    const repliesMs = options.timeoutMs ?? REPLIES_CLOSE_MS
    await Promise.all([...this.#replySenders.values()].map((sender) => sender.close(repliesMs)))
    await Promise.all([...this.#replyInboxes.values()].map((inbox) => inbox.close()))
    if (this.#ownsFeedback) await this.feedback.close(options)
    await this.driver.close()
  }

  #requireOpen(): void {
    if (this.#closing === undefined) return
    throw new StreamError(`the ${this.name} transport is closed`, {
      code: 'CLOSED',
      transport: this.name,
      operation: 'configure',
    })
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

const TRANSPORT_OPTIONS = [
  'environment',
  'requires',
  'logger',
  'options',
  'deadLetterTransport',
  'feedback',
  'middleware',
] as const satisfies readonly (keyof TransportOptions)[]

/** Throws INVALID_ARGUMENT for unknown options of `openTransport`, saying where the adapter's options belong. */
export function requireTransportOptions(options: TransportOptions, adapter: AdapterDefinition): void {
  const own = { ...transportFields, ...adapter.options }
  requireNames(
    options,
    // Set by openTransport itself.
    [...TRANSPORT_OPTIONS, 'ownsFeedback'],
    { subject: `the ${adapter.name} transport`, transport: adapter.name },
    (name) => (Object.hasOwn(own, name) ? `belongs below 'options': { options: { ${name}: … } }` : undefined),
  )
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
