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

/** Creates loops of one transport. */
export type ConsumerLoopClass = new <T = unknown>(
  topic: TopicSelection,
  options: ConsumerLoopOptions<T>,
) => ConsumerLoop<T>

/** Which partitions a `seek` moves. */
const SEEK_FIELDS = { topic: option.text(), partition: option.integer({ min: 0 }) }

/** Default time that `close` waits for running handlers, in milliseconds: below the 30 s that orchestrators allow. */
const CLOSE_TIMEOUT_MS = 25_000

/** Minimum time for a listener's flush, in milliseconds. */
const FLUSH_MS = 500

/**
 * Receives the messages of a topic as a member of a group and passes them to a handler. Behaves the same on every
 * transport; adapters only add named subclasses.
 * A message is acked when its handler has resolved, and never before. A failed message is retried with backoff, which
 * blocks only its key, and is written to the group's dead letters when its attempts are used up.
 */
export abstract class ConsumerLoop<T = unknown> implements AsyncDisposable, AsyncIterable<Message<T>> {
  /**
   * The topics it was created for, joined by commas, or its pattern: its name in errors and the default in a runner.
   * Never changes.
   */
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

  /**
   * Checks topic, group and options; no I/O. Throws INVALID_ARGUMENT with every problem, UNSUPPORTED for what the
   * transport can't do.
   */
  constructor(adapter: AdapterDefinition, topic: TopicSelection, options: ConsumerLoopOptions<T>) {
    this.#parts = makeLoopParts(adapter, topic, options, (error) => this.#fail(error))
    this.label = this.#parts.label
    this.group = this.#parts.group
    this.transport = this.#parts.transport
    this.#engine = this.#parts.engine
    this.#events = this.#parts.events
    this.transport.attach(this)
  }

  /** @internal Names of its topics and group on the broker. */
  get names(): LoopNames {
    return this.#parts.names
  }

  /** Topics that this loop receives; with a pattern, those it has joined so far. */
  get topics(): readonly string[] {
    const { subscription, topics } = this.#parts
    return subscription === undefined ? topics : [...subscription.joined]
  }

  /**
   * Connects, creates or checks topic and group, and joins the group: messages sent after this has resolved are
   * received. Optional, since `run` does it. Rejects with UNAVAILABLE, UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND or
   * CONFLICT; may be called again then.
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
   * Sets the handler, a function or a {@link Listener}; call it before `run`. With `to`, what the handler yields or
   * returns (except `undefined`) is forwarded, with the message's key unless it is a `batchEntry(value, options)`; the
   * message is acked once all results are confirmed. Throws INVALID_ARGUMENT for anything else, CONFLICT when a handler
   * is already set.
   */
  handle(handler: Handler<T> | Listener<T>, options: HandleOptions = {}): this {
    this.#prepare(checkHandler(handler, options), 'handle', (around) =>
      prepareHandler(handlerOf(handler) as Handler, around, options),
    )
    this.#flush = flushOf(handler)
    return this
  }

  /**
   * Sets a handler for lists of messages, instead of `handle`: a list has up to `maxMessages` messages, the first of
   * which has waited up to `maxWaitMs`. Messages of a key are in order, and never in two batches at once. `concurrency`
   * counts batches.
   * When it returns, all messages are acked except those on which `nack(reason)` was called, or whose index a thrown
   * `BatchError` lists (with the batch's length as `total`): these are retried and dead-lettered like single messages,
   * which blocks only their key. Later messages of that key in the batch are handled again after them. Any other error
   * fails all messages; each is then delivered in a batch of one. Throws as `handle` does.
   */
  handleBatch(handler: BatchHandler<T>, options: HandleBatchOptions = {}): this {
    this.#prepare(checkBatchHandler(handler, options, this.#parts.options), 'handleBatch', (around) =>
      prepareBatchHandler(handler as BatchHandler, around, options),
    )
    return this
  }

  /** The loop's error policy, which a runner applies when `run` rejects. */
  get errorPolicy(): ErrorPolicy {
    return this.#parts.options.errorPolicy
  }

  /**
   * Handles messages until the loop is closed, and then resolves, also when it was still connecting. Rejects when it
   * can't connect, or with the error that ended the loop (`errorPolicy`); later calls of `init` and `run` reject
   * likewise. `signal` closes the loop.
   */
  async run(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = readOptions(signalFields, options, this.#call('run'))
    this.#requireOpen('run')
    if (this.#prepared === undefined)
      throw this.#invalid('run: no handler is set; call handle(async (message) => …) first')
    if (this.#running) throw this.#parts.error('CONFLICT', 'run() was already called', 'run')
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
   * Iterates over the messages one at a time, for `for await`; `concurrency` has no effect. A message is acked when the
   * next one is requested. Leaving the loop by `break`, `return` or an error closes the consumer: all received messages
   * are settled or returned to the broker. The current message is redelivered unless you acked it: an async iterator
   * can't distinguish `break` from an error.
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

  /** Starts no more handlers until `resume`. The connection, the group membership and running handlers stay. */
  pause(): void {
    this.#paused = true
    this.#engine.pause()
  }

  resume(): void {
    this.#paused = false
    if (this.#running && this.#prepared !== undefined && this.#closing === undefined) this.#engine.start(this.#prepared)
  }

  /** Partitions currently assigned to this member. */
  get assignments(): readonly PartitionAssignment[] {
    return this.#engine.assignments
  }

  /**
   * Moves to an offset: all partitions of this member, or one. Waits for running handlers and drops waiting messages.
   * Rejects with UNSUPPORTED when the transport keeps no history, NOT_FOUND for a partition that isn't assigned to this
   * member.
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
      throw this.#parts.error('NOT_FOUND', `the partition is not assigned to this member`, 'seek')
    for (const assignment of chosen)
      await this.#engine.seek(assignment, (driver) => driver.seek?.(assignment, checked.value) ?? Promise.resolve())
  }

  /**
   * Returns the number of messages that the group has not finished, per partition. Rejects with UNSUPPORTED when the
   * transport can't tell, UNAVAILABLE while disconnected.
   */
  async lag(): Promise<readonly PartitionLag[]> {
    requireFor(this.transport.adapter, 'lag', 'lag()', 'lag')
    await this.init()
    const lags = await this.#engine.lag()
    // A driver that is disconnected and hasn't noticed yet reports nothing for topics that exist.
    if (lags === undefined || (lags.length === 0 && this.topics.length > 0))
      throw this.#parts.error('UNAVAILABLE', 'not connected: the lag is unknown', 'lag')
    return lags
  }

  /**
   * Stops cleanly: accepts nothing new, waits for running handlers for up to `timeoutMs` (default 25,000; then their
   * signals abort), acks what is done, returns the rest to the broker, flushes the listener, leaves the group. `signal`
   * ends the wait for handlers immediately. Idempotent: later calls return the first call's promise. Rejects only with
   * INVALID_ARGUMENT for bad options; nothing is closed then.
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

  /** The error of the last `error` or `reconnecting` event, and when it happened. */
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
      // Closed while connecting, which is why it failed.
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
    if (this.#prepared !== undefined) throw this.#parts.error('CONFLICT', 'a handler is already set', operation)
    this.#prepared = prepare({ stages: this.#parts.stages, names: this.names })
  }

  #fail(error: StreamError): void {
    // Also when a listener receives it, or run() isn't awaited: the loop has ended.
    if (this.#failure === undefined) this.#log(`the loop ended with an error: ${describe(error)}`)
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

  /** Runs after the last handler, while producers still send. A failure is reported and blocks nothing. */
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
