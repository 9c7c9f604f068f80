import { atMost } from '../at-most.js'
import type { AdapterDefinition } from '../contract/adapter.js'
import type { PartitionAssignment, PartitionLag, StartPosition } from '../contract/consumer-driver.js'
import { describe, type StreamError } from '../errors.js'
import type { Events, LastError } from '../events.js'
import type { Handler, Listener, Message } from '../message.js'
import type { LoopNames } from '../native-names/loop-names.js'
import { type CloseOptions, closeFields, signalFields, withOptions } from '../options/call-options.js'
import { option } from '../options/fields.js'
import { readOptions } from '../options/resolve.js'
import { withSignal } from '../session.js'
import type { TopicSelection } from '../topic-pattern.js'
import { requireFor } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import type { ConsumerEngine } from './consumer-engine.js'
import type { ConsumerEvents, ConsumerStats } from './consumer-events.js'
import type { ConsumerLoopOptions } from './consumer-options.js'
import type { ErrorPolicy } from './failures.js'
import type { BatchHandler } from './handler-batches.js'
import { flushOf, handlerOf } from './listener.js'
import { LoopEnd } from './loop-end.js'
import {
  checkBatchHandler,
  checkHandler,
  type HandleBatchOptions,
  type HandleOptions,
  type HandlerSurroundings,
  type PreparedHandler,
  prepareBatchHandler,
  prepareHandler,
} from './loop-handler.js'
import { iterate } from './loop-iterator.js'
import { type LoopParts, makeLoopParts } from './loop-parts.js'
import { checkPosition } from './start-positions.js'

/** Makes loops of one transport. */
export type ConsumerLoopClass = new <T = unknown>(
  topic: TopicSelection,
  options: ConsumerLoopOptions<T>,
) => ConsumerLoop<T>

/** Which partitions a `seek` moves. */
const SEEK_FIELDS = { topic: option.text(), partition: option.integer({ min: 0 }) }

/** How long `close` waits for running handlers, in milliseconds, unless told otherwise: below the 30 s that orchestrators allow. */
const CLOSE_TIMEOUT_MS = 25_000

/** A listener's flush gets at least this long, in milliseconds. */
const FLUSH_MS = 500

/**
 * Receives the messages of a topic as a member of a group and hands them to a handler. The same on every transport; adapters add
 * named subclasses only.
 *
 * A message is acked when its handler has resolved, and never before. A failing handler is tried again with backoff, only its
 * key waiting, then the message goes to the group's dead letters.
 */
export abstract class ConsumerLoop<T = unknown> implements AsyncDisposable, AsyncIterable<Message<T>> {
  /** The topics it was made for, with commas between them, or its pattern: how errors name it, and a runner that is given no other name. Never changes. */
  readonly label: string
  readonly group: string
  readonly transport: Transport
  readonly #parts: LoopParts
  readonly #engine: ConsumerEngine
  readonly #events: Events<ConsumerEvents>
  readonly #end = new LoopEnd()
  #prepared: PreparedHandler | undefined
  #flush: (() => unknown) | undefined
  #failure: StreamError | undefined
  #opened: Promise<void> | undefined
  #running = false
  #paused = false
  #closing: Promise<void> | undefined

  /** Checks topic, group and options; no I/O. Throws INVALID_ARGUMENT with every problem, UNSUPPORTED for what the transport can't do. */
  constructor(adapter: AdapterDefinition, topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    this.#parts = makeLoopParts(adapter, topic, options, (error) => this.#fail(error))
    this.label = this.#parts.label
    this.group = this.#parts.group
    this.transport = this.#parts.transport
    this.#engine = this.#parts.engine
    this.#events = this.#parts.events
    this.transport.attach(this)
  }

  /** @internal What its topics and group are called on the broker. */
  get names(): LoopNames {
    return this.#parts.names
  }

  /** Topics that this loop receives; with a pattern, those that it has joined by now. */
  get topics(): readonly string[] {
    const { subscription, topics } = this.#parts
    return subscription === undefined ? topics : [...subscription.joined]
  }

  /**
   * Connects, makes or checks topic and group, and joins the group: what is sent once this has resolved is received. Optional;
   * `run` does it. Rejects with UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND or CONFLICT; may be called again then.
   */
  async init(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = readOptions(signalFields, options, this.#call('init'))
    this.#requireOpen('init')
    this.#opened ??= this.#engine.open().catch((error: unknown) => {
      this.#opened = undefined
      throw this.#failure ?? error
    })
    await withSignal(this.#opened, signal)
  }

  /**
   * Sets the handler, a function or a {@link Listener}; before `run`. With `to`, what it yields or returns (but `undefined`) is sent on, with
   * the message's key unless it is a `batchEntry(value, options)`; the message is acked once all of it is confirmed. Throws
   * INVALID_ARGUMENT when it is neither, CONFLICT when there is a handler already.
   */
  handle(handler: Handler<T> | Listener<T>, options: HandleOptions = {}): this {
    this.#prepare(checkHandler(handler, options), 'handle', (around) =>
      prepareHandler(handlerOf(handler) as Handler, around, options),
    )
    this.#flush = flushOf(handler)
    return this
  }

  /**
   * Sets a handler for lists of messages, in place of `handle`: at most `maxMessages` of them, the first of which has waited `maxWaitMs`
   * at most. Messages of a key stand in order, and in no two batches at once. `concurrency` counts batches.
   *
   * Once it returns, all are acked but those on which `nack(reason)` was called, or whose index a thrown `BatchError` lists (with the
   * batch's length as `total`): these are tried again and dead-lettered as single messages are, with only their key waiting. Later
   * messages of that key in the batch are handled again after them. Any other error fails all of them; each then comes alone. Throws as
   * `handle` does.
   */
  handleBatch(handler: BatchHandler<T>, options: HandleBatchOptions = {}): this {
    this.#prepare(checkBatchHandler(handler, options, this.#parts.options), 'handleBatch', (around) =>
      prepareBatchHandler(handler as BatchHandler, around, options),
    )
    return this
  }

  /** What happens when nothing else can help a message: what whoever runs several loops goes by when `run` rejects. */
  get errorPolicy(): ErrorPolicy {
    return this.#parts.options.errorPolicy
  }

  /**
   * Handles messages until the loop is closed: resolves then, also where it was still connecting. Rejects when it can't connect, or
   * with the error that ended the loop (`errorPolicy`): so do `init` and `run` from then on. `signal` closes the loop.
   */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = readOptions(signalFields, options, this.#call('run'))
    this.#requireOpen('run')
    if (this.#prepared === undefined)
      throw this.#invalid('run: there is no handler; call handle(async (message) => …) first')
    if (this.#running) throw this.#parts.error('CONFLICT', 'it runs already', 'run')
    this.#running = true
    const stop = (): void => void this.close()
    signal?.addEventListener('abort', stop, { once: true })
    try {
      if (signal?.aborted === true) return await this.close()
      await this.#start()
      await this.#end.promise
      await this.#closing
    } finally {
      signal?.removeEventListener('abort', stop)
    }
  }

  /**
   * Messages one at a time, for `for await`; `concurrency` doesn't count. A message is acked when the next one is asked for. Leaving the
   * loop by `break`, `return` or an error closes the consumer: what it had taken is settled or given back by then. The message at hand is
   * then not acked, unless `message.ack()` was called, and comes again: JavaScript doesn't tell a `break` from an error.
   */
  [Symbol.asyncIterator](): AsyncIterator<Message<T>, undefined> {
    return iterate<T>({
      handle: (handler) =>
        this.#prepare(undefined, 'for await', (around) => ({
          ...prepareHandler(handler as Handler, around, {}),
          limit: 1,
        })),
      run: () => this.run(),
      close: () => this.close({ timeoutMs: 0 }),
    })
  }

  /** Starts no handler until `resume`. The connection, the group membership and what runs stay. */
  pause(): void {
    this.#paused = true
    this.#engine.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#running && this.#prepared !== undefined && this.#closing === undefined) this.#engine.start(this.#prepared)
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
    const { topic, partition } = readOptions(SEEK_FIELDS, where, this.#call('seek'))
    requireFor(this.transport.adapter, 'replay', 'seek()', 'seek')
    const checked = checkPosition(position)
    if (typeof checked === 'string') throw this.#invalid(`seek: the position ${checked}`)
    await this.init()
    const chosen = this.#engine.assignments.filter(
      (one) => (topic === undefined || one.topic === topic) && (partition === undefined || one.partition === partition),
    )
    if (chosen.length === 0)
      throw this.#parts.error('NOT_FOUND', `no such partition is assigned to this member`, 'seek')
    for (const assignment of chosen)
      await this.#engine.seek(assignment, (driver) => driver.seek?.(assignment, checked.value) ?? Promise.resolve())
  }

  /**
   * Messages that the group has not finished, per partition. Rejects with UNSUPPORTED where the transport doesn't know, with UNAVAILABLE
   * while the connection is away.
   */
  async lag(): Promise<readonly PartitionLag[]> {
    requireFor(this.transport.adapter, 'lag', 'lag()', 'lag')
    await this.init()
    const lags = await this.#engine.lag()
    // A driver that is cut off and doesn't know yet has nothing to tell of topics that are there.
    if (lags === undefined || (lags.length === 0 && this.topics.length > 0))
      throw this.#parts.error('UNAVAILABLE', 'not connected: the lag is not known', 'lag')
    return lags
  }

  /**
   * Stops cleanly: takes nothing new, lets running handlers end for up to `timeoutMs` (default 25,000; then their signals abort),
   * acks what is done, gives the rest back, flushes the listener, leaves the group. `signal` ends the wait for handlers at once.
   * Idempotent: later calls share the first one's promise. Rejects only with INVALID_ARGUMENT for bad options, and closes nothing then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return withOptions(closeFields, options, this.#call('close'), ({ timeoutMs = CLOSE_TIMEOUT_MS, signal }) => {
      this.#closing ??= this.#close(timeoutMs, signal)
      return this.#closing
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The last `error` or `reconnecting` event's error, and when it came. */
  get lastError(): LastError | undefined {
    return this.#events.lastError
  }

  /** @internal The error that ended it. */
  get failure(): StreamError | undefined {
    return this.#failure
  }

  /** @internal */
  get hasHandler(): boolean {
    return this.#prepared !== undefined
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
      // Closed while it connected, which is what made it fail.
      if (this.#closing !== undefined && this.#failure === undefined) return
      if (this.#failure === undefined) this.#log(`the loop did not start: ${describe(error)}`)
      throw error
    }
    if (!this.#paused && this.#closing === undefined && this.#prepared !== undefined) this.#engine.start(this.#prepared)
  }

  #prepare(
    problem: string | undefined,
    operation: string,
    prepare: (around: HandlerSurroundings) => PreparedHandler,
  ): void {
    if (problem !== undefined) throw this.#invalid(`${operation}: ${problem}`)
    if (this.#prepared !== undefined) throw this.#parts.error('CONFLICT', 'it has a handler already', operation)
    this.#prepared = prepare({ stages: this.#parts.stages, names: this.names })
  }

  #fail(error: StreamError): void {
    // Also where a listener hears of it, or nobody awaits run(): the loop is dead.
    if (this.#failure === undefined) this.#log(`the loop has ended with its error: ${describe(error)}`)
    this.#failure ??= error
    this.#events.emit('error', error)
    this.#end.reject(error)
    void this.close()
  }

  async #close(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const started = performance.now()
    await this.#engine.close(timeoutMs, signal)
    if (this.#running) await this.#flushListener(Math.max(FLUSH_MS, timeoutMs - (performance.now() - started)), signal)
    this.transport.detach(this)
    if (this.#parts.ownsTransport) await this.transport.close()
    this.#end.resolve()
  }

  /** After the last handler, while producers still send. A failure is told and holds nothing up. */
  async #flushListener(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    const flush = this.#flush
    if (flush === undefined) return
    const failed = (cause: unknown): void =>
      this.#events.emit(
        'error',
        this.#parts.error('UNKNOWN', `the listener's flush failed: ${describe(cause)}`, 'flush', cause),
      )
    const flushed = Promise.resolve().then(flush).catch(failed)
    await atMost(flushed, timeoutMs, signal)
  }

  #call(operation: string) {
    const subject = `${operation} of consumer ${this.label}/${this.group}`
    return { subject, transport: this.transport.name, topic: this.label, operation }
  }

  #log(message: string): void {
    this.transport.logger.error(`consumer ${this.label}/${this.group} on ${this.transport.name}: ${message}`)
  }

  #requireOpen(operation: string): void {
    if (this.#failure !== undefined) throw this.#failure
    if (this.#closing !== undefined) throw this.#parts.error('CLOSED', 'the loop is closed', operation)
  }

  #invalid(message: string): StreamError {
    return this.#parts.error('INVALID_ARGUMENT', message, 'configure')
  }
}
