import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import type { AdapterDefinition, ConsumerSpec } from '../contract/adapter.js'
import type { PartitionAssignment, PartitionLag, StartPosition } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import { Events } from '../events.js'
import { Replies } from '../feedback/replies.js'
import type { Handler, Message } from '../message.js'
import { requirePortableName } from '../names.js'
import { splitOptions } from '../options/adapter-options.js'
import { describeType } from '../options/problems.js'
import { withSignal } from '../session.js'
import { openByAdapter } from '../transport/open-transport.js'
import { requireFor } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { ConsumerEngine } from './consumer-engine.js'
import type { ConsumerEvents, ConsumerStats } from './consumer-events.js'
import {
  type ConsumerLoopOptions,
  type ConsumerOptionValues,
  checkPosition,
  consumerFields,
} from './consumer-options.js'
import { DeadLetters } from './dead-letters.js'
import { chainHandler, type HandlerStage } from './handler-chain.js'
import { iterate } from './loop-iterator.js'

/** Makes loops of one transport. */
export type ConsumerLoopClass = new <T = unknown>(
  topic: string | readonly string[],
  options: ConsumerLoopOptions<T>,
) => ConsumerLoop<T>

/** How long `close` waits for running handlers, in milliseconds, unless told otherwise: below the 30 s that orchestrators allow. */
const CLOSE_TIMEOUT_MS = 25_000

/**
 * Receives the messages of a topic as a member of a group and hands them to a handler. The same on every transport; adapters add
 * named subclasses only.
 *
 * A message is acked when its handler has resolved, and never before. A failing handler is tried again with backoff, only its
 * key waiting, then the message goes to the group's dead letters.
 */
export abstract class ConsumerLoop<T = unknown> implements AsyncDisposable, AsyncIterable<Message<T>> {
  readonly topics: readonly string[]
  readonly group: string
  readonly transport: Transport
  readonly #ownsTransport: boolean
  readonly #engine: ConsumerEngine
  readonly #events: Events<ConsumerEvents>
  readonly #finished: {
    readonly promise: Promise<void>
    readonly resolve: () => void
    readonly reject: (error: StreamError) => void
  }
  /** What stands around the handler, outermost first: dedupe, replies, middleware. */
  readonly #stages: readonly HandlerStage[]
  #handler: Handler<T> | undefined
  #opened: Promise<void> | undefined
  #running = false
  #paused = false
  #closing: Promise<void> | undefined

  /** Checks topic, group and options; no I/O. Throws INVALID_ARGUMENT with every problem, UNSUPPORTED for what the transport can't do. */
  constructor(adapter: AdapterDefinition, topic: string | readonly string[], options: ConsumerLoopOptions<T>) {
    const { transport, ...rest } = options ?? {}
    this.topics = typeof topic === 'string' ? [topic] : [...topic]
    this.group = options?.group
    requirePortableName('group', this.group, adapter.name)
    const subject = `consumer ${this.topics.join(',')}/${this.group}`
    const { common, own } = splitOptions(rest, consumerFields, adapter, 'consumerOptions', {
      subject,
      topic: this.topics.join(','),
    })
    this.#ownsTransport = transport === undefined
    this.transport = transport ?? openByAdapter(adapter)
    if (this.topics.length === 0) throw this.#invalid('topic: must name at least one topic')
    if (common.from !== undefined) requireFor(adapter, 'replay', "'from'", 'configure')
    if (common.ack === 'manual') requireFor(adapter, 'manualAck', "ack: 'manual'", 'configure')
    this.#events = new Events(this.transport.logger, subject)
    this.#finished = deferred()
    const replies = common.replies ? new Replies(this.transport, this.group, common.replyCodec) : undefined
    this.#stages = replies === undefined ? [] : [replies.stage]
    this.#engine = new ConsumerEngine({
      subject: `${subject} on ${this.transport.name}`,
      transport: this.transport,
      spec: this.#spec(common, own),
      options: common,
      deadLetters: this.#deadLetters(common),
      replies,
      events: this.#events,
      onFailure: (error) => this.#fail(error),
    })
    this.transport.attach(this)
  }

  /**
   * Connects, makes or checks topic and group, and joins the group: what is sent once this has resolved is received. Optional;
   * `run` does it. Rejects with UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND or CONFLICT; may be called again then.
   */
  async init(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#requireOpen('init')
    this.#opened ??= this.#engine.open().catch((error: unknown) => {
      this.#opened = undefined
      throw error
    })
    await withSignal(this.#opened, options.signal)
  }

  /** Sets the handler; before `run`. Throws INVALID_ARGUMENT when it is no function, CONFLICT when there is one already. */
  handle(handler: Handler<T>): this {
    if (typeof handler !== 'function')
      throw this.#invalid(`handle: the handler must be a function, got ${describeType(handler)}`)
    if (this.#handler !== undefined) throw this.#error('CONFLICT', 'it has a handler already', 'handle')
    this.#handler = handler
    return this
  }

  /**
   * Handles messages until the loop is closed: resolves then. Rejects when it can't connect, or with the error that ended the
   * loop (`errorPolicy: 'stop'`). `signal` closes the loop.
   */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#requireOpen('run')
    if (this.#handler === undefined)
      throw this.#invalid('run: there is no handler; call handle(async (message) => …) first')
    if (this.#running) throw this.#error('CONFLICT', 'it runs already', 'run')
    this.#running = true
    const stop = (): void => void this.close()
    options.signal?.addEventListener('abort', stop, { once: true })
    try {
      if (options.signal?.aborted === true) return await this.close()
      await this.#start()
      await this.#finished.promise
      await this.#closing
    } finally {
      options.signal?.removeEventListener('abort', stop)
    }
  }

  /**
   * Messages one at a time, for `for await`. A message is acked when the next one is asked for. Leaving the loop by `break`,
   * `return` or an error closes the consumer; the message at hand is then not acked, unless `message.ack()` was called, and
   * comes again.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    return iterate<T>(this)
  }

  /** Starts no handler until `resume`. The connection, the group membership and what runs stay. */
  pause(): void {
    this.#paused = true
    this.#engine.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#running && this.#handler !== undefined && this.#closing === undefined)
      this.#engine.start(chainHandler(this.#stages, this.#handler as Handler))
  }

  /** Partitions that belong to this member now. */
  get assignments(): readonly PartitionAssignment[] {
    return this.#engine.assignments
  }

  /**
   * Moves to a position: all partitions of this member, or one. What runs is waited for, what waits is dropped. Rejects with
   * UNSUPPORTED where the transport keeps no history, NOT_FOUND for a partition that isn't this member's.
   */
  async seek(
    position: StartPosition,
    where: { readonly topic?: string; readonly partition?: number } = {},
  ): Promise<void> {
    requireFor(this.transport.adapter, 'replay', 'seek()', 'seek')
    const checked = checkPosition(position)
    if (typeof checked === 'string') throw this.#invalid(`seek: the position ${checked}`)
    await this.init()
    const chosen = this.#engine.assignments.filter(
      (one) =>
        (where.topic === undefined || one.topic === where.topic) &&
        (where.partition === undefined || one.partition === where.partition),
    )
    if (chosen.length === 0) throw this.#error('NOT_FOUND', `no such partition is assigned to this member`, 'seek')
    for (const assignment of chosen)
      await this.#engine.seek(assignment, (driver) => driver.seek?.(assignment, checked.value) ?? Promise.resolve())
  }

  /** Messages that the group has not finished, per partition. Rejects with UNSUPPORTED where the transport doesn't know. */
  async lag(): Promise<readonly PartitionLag[]> {
    requireFor(this.transport.adapter, 'lag', 'lag()', 'lag')
    await this.init()
    const driver = this.#engine.driver()
    if (driver?.lag === undefined) throw this.#error('UNAVAILABLE', 'not connected', 'lag')
    return driver.lag()
  }

  /**
   * Stops cleanly: takes nothing new, lets running handlers end for up to `timeoutMs` (default 25,000; then their signals abort),
   * acks what is done, gives the rest back, leaves the group. Idempotent: later calls share the first one's promise. Never rejects.
   */
  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.timeoutMs ?? CLOSE_TIMEOUT_MS)
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  stats(): ConsumerStats {
    return this.#engine.stats()
  }

  on<Name extends keyof ConsumerEvents>(name: Name, listener: (payload: ConsumerEvents[Name]) => void): this {
    this.#events.on(name, listener)
    return this
  }

  off<Name extends keyof ConsumerEvents>(name: Name, listener: (payload: ConsumerEvents[Name]) => void): this {
    this.#events.off(name, listener)
    return this
  }

  async #start(): Promise<void> {
    try {
      await this.init()
    } catch (error) {
      this.#running = false
      throw error
    }
    if (!this.#paused && this.#closing === undefined)
      this.#engine.start(chainHandler(this.#stages, this.#handler as Handler))
  }

  #fail(error: StreamError): void {
    this.#events.emit('error', error)
    this.#finished.reject(error)
    void this.close()
  }

  async #close(timeoutMs: number): Promise<void> {
    await this.#engine.close(timeoutMs)
    this.transport.detach(this)
    if (this.#ownsTransport) await this.transport.close()
    this.#finished.resolve()
  }

  #spec(common: ConsumerOptionValues, own: unknown): ConsumerSpec {
    const { retry, handlerTimeoutMs, handlerGraceMs } = common
    return {
      topics: this.topics.map((topic) =>
        this.transport.topicSpec(topic, { partitions: common.partitions, retention: common.retention }),
      ),
      group: this.group,
      brokerGroup: this.transport.brokerGroup(this.group),
      member: common.memberName ?? `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`,
      ordering: common.ordering,
      from: common.from,
      prefetch: common.prefetch,
      maxHandlingMs: (handlerTimeoutMs + handlerGraceMs + retry.maxDelayMs) * retry.attempts,
      options: own,
    }
  }

  #deadLetters(common: ConsumerOptionValues): DeadLetters | undefined {
    const { deadLetter } = common
    if (deadLetter === false) return undefined
    const { capabilities, deadLetterTransport, name } = this.transport
    const target = deadLetterTransport ?? this.transport
    if (deadLetterTransport === undefined && capabilities.deadLetters !== true) {
      if (deadLetter === undefined) return undefined
      throw this.#error(
        'UNSUPPORTED',
        `${name} keeps dead letters only ${String(capabilities.deadLetters)}: open it with deadLetterTransport, or leave deadLetter out`,
        'configure',
      )
    }
    const topic = typeof deadLetter === 'object' ? deadLetter.topic : undefined
    return new DeadLetters(target, this.topics, this.group, topic, (error) => this.#events.emit('error', error))
  }

  #requireOpen(operation: string): void {
    if (this.#closing !== undefined) throw this.#error('CLOSED', 'the loop is closed', operation)
  }

  #invalid(message: string): StreamError {
    return this.#error('INVALID_ARGUMENT', message, 'configure')
  }

  #error(code: ConstructorParameters<typeof StreamError>[1]['code'], message: string, operation: string): StreamError {
    return new StreamError(`consumer ${this.topics.join(',')}/${this.group}: ${message}`, {
      code,
      transport: this.transport?.name,
      topic: this.topics.join(','),
      operation,
    })
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: StreamError) => void } {
  let resolve: () => void = () => {}
  let reject: (error: StreamError) => void = () => {}
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve
    reject = onReject
  })
  // run() may not be waiting: the error was emitted as well.
  promise.catch(() => {})
  return { promise, resolve, reject }
}
