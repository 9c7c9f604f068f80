import { RECONNECT_BACKOFF } from '../backoff.js'
import type { ConsumerSpec } from '../contract/adapter.js'
import type { ConsumerDriver, ConsumerSink, PartitionAssignment } from '../contract/consumer-driver.js'
import type { Dedupe, DedupeHost } from '../dedupe/dedupe.js'
import { Postponement } from '../dedupe/postponement.js'
import { type ErrorCode, StreamError, toStreamError } from '../errors.js'
import type { Events } from '../events.js'
import type { Replies } from '../feedback/replies.js'
import { Session } from '../session.js'
import type { Transport } from '../transport/transport.js'
import { Acknowledgements } from './acknowledgements.js'
import type { ConsumerEvents, ConsumerStats } from './consumer-events.js'
import type { ConsumerOptionValues } from './consumer-options.js'
import type { DeadLetters } from './dead-letters.js'
import { type Delivery, DeliveryState } from './delivery.js'
import { Dispatcher, type DispatcherHost } from './dispatcher.js'
import { describe, type ErrorPolicy, type FailureHost, Failures } from './failures.js'
import { answerOutputs, runGenerator } from './handler-outputs.js'
import { HandlerTimeouts, type HandlerTimeoutsHost } from './handler-timeouts.js'
import { Inbox } from './inbox.js'
import type { PreparedHandler } from './loop-handler.js'
import { PartitionHooks } from './partition-hooks.js'
import { PartitionState } from './partition-state.js'
import { type RetryTest, retryTest } from './retry-test.js'
import { goneError, Settler, type SettlerHost } from './settler.js'
import { type Stall, StallWatch, type StallWatchHost, stallError } from './stall-watch.js'
import { StartWatch } from './start-watch.js'
import { ValueDecoder } from './value-decoder.js'
import { abortHandlers, isUnsettled, WindDown } from './wind-down.js'

export interface EngineSettings {
  readonly subject: string
  readonly transport: Transport
  readonly spec: ConsumerSpec
  /** The topics, or the pattern, as errors name them. */
  readonly topic: string
  /** Makes the driver of one connection. */
  readonly connect: (sink: ConsumerSink) => ConsumerDriver
  readonly options: ConsumerOptionValues
  readonly deadLetters: DeadLetters | undefined
  /** `undefined`: the loop doesn't answer requests. */
  readonly replies: Replies | undefined
  readonly dedupe: Dedupe | undefined
  readonly events: Events<ConsumerEvents>
  /** The loop can't go on: it closes itself, and `run` rejects. */
  readonly onFailure: (error: StreamError) => void
}

/** Longest wait for running handlers when a partition is handed over, unless the driver gives less, in milliseconds. */
const REVOCATION_MS = 10_000

const NO_DUPLICATES = { deduplicated: 0, conflicts: 0 }

const TAKEN_AWAY = 'its partition was taken away'

/**
 * Stands between a driver and the handlers: assignments, inbox and backpressure, dispatch, settlement, failures, timeouts,
 * reconnecting, stopping.
 */
export class ConsumerEngine
  implements DispatcherHost, SettlerHost, FailureHost, HandlerTimeoutsHost, DedupeHost, StallWatchHost
{
  readonly #settings: EngineSettings
  readonly #decoder: ValueDecoder
  readonly #inbox: Inbox
  readonly #timeouts: HandlerTimeouts
  readonly #acknowledgements: Acknowledgements
  readonly #session: Session<ConsumerDriver, void>
  readonly #settler: Settler
  readonly #windDown: WindDown
  readonly #failures: Failures
  readonly #dedupe: Dedupe | undefined
  readonly #stallWatch: StallWatch
  readonly #partitions = new Map<PartitionAssignment, PartitionState>()
  readonly dispatcher: Dispatcher
  readonly #hooks: PartitionHooks
  readonly #starts: StartWatch
  readonly retry: ConsumerOptionValues['retry'] & { readonly when: RetryTest }
  #driver: ConsumerDriver | undefined
  #prepared: PreparedHandler | undefined
  #closing = false
  #counts = { received: 0, handled: 0, retried: 0, deadLettered: 0, skipped: 0, acked: 0, overlaps: 0 }

  constructor(settings: EngineSettings) {
    const { options, transport } = settings
    this.#settings = settings
    this.#decoder = new ValueDecoder(options.codec, options.schema)
    this.#inbox = new Inbox(options)
    this.#timeouts = new HandlerTimeouts(this, options.handlerTimeoutMs)
    this.#acknowledgements = new Acknowledgements(this)
    this.dispatcher = new Dispatcher(this)
    this.#settler = new Settler(this)
    this.#hooks = new PartitionHooks(options.onAssigned, options.onRevoked, {
      dispatch: () => this.dispatcher.dispatch(),
      fail: (error) => this.fail(error),
      report: (error) => this.#report(this.error('UNKNOWN', `onRevoked failed: ${describe(error)}`, 'revoke', error)),
    })
    this.#windDown = new WindDown(this.#settler, (partitions) => this.#hooks.revoked(partitions, 'graceful'))
    this.retry = { ...options.retry, when: retryTest(options.retry.when) }
    this.#failures = new Failures(this)
    this.#dedupe = settings.dedupe
    this.#dedupe?.bind(this)
    this.#stallWatch = new StallWatch(this, options.stallTimeoutMs)
    this.#starts = new StartWatch({
      subject: settings.subject,
      transport: transport.name,
      logger: transport.logger,
      spec: settings.spec,
      policy: options.outOfRange,
      events: settings.events,
      fail: (error) => this.fail(error),
    })
    this.#session = new Session({
      subject: settings.subject,
      transport: transport.name,
      topic: settings.topic,
      backoff: RECONNECT_BACKOFF,
      connectTimeoutMs: options.connectTimeoutMs,
      probeIntervalMs: options.probeIntervalMs,
      logger: transport.logger,
      create: (lost) => this.#create(lost),
      classify: (error) => this.classify(error, 'consume'),
      ready: (_driver, _ready, again) => {
        this.#starts.joined(this.assignments)
        settings.events.emit('ready', { again })
      },
      lost: (error) => this.#disconnected(error),
    })
  }

  get subject(): string {
    return this.#settings.subject
  }

  get logger() {
    return this.#settings.transport.logger
  }

  get deadLetters(): DeadLetters | undefined {
    return this.#settings.deadLetters
  }

  get errorPolicy(): ErrorPolicy {
    return this.#settings.options.errorPolicy
  }

  get handledCount(): number {
    return this.#counts.handled
  }

  get ordering(): 'key' | 'none' {
    return this.#settings.options.ordering
  }

  get handlerTimeoutMs(): number {
    return this.#settings.options.handlerTimeoutMs
  }

  get handlerGraceMs(): number {
    return this.#settings.options.handlerGraceMs
  }

  get manualAck(): boolean {
    return this.#settings.options.ack === 'manual'
  }

  get started(): boolean {
    return this.dispatcher.started
  }

  get assignments(): PartitionAssignment[] {
    return [...this.#partitions.keys()]
  }

  /** The driver that deliveries come from and go back to; it may still be opening. */
  driver(): ConsumerDriver | undefined {
    return this.#driver
  }

  /** Connects and joins the group; deliveries gather in the inbox until `start`. */
  open(): Promise<void> {
    return this.#session.start()
  }

  start(prepared: PreparedHandler): void {
    this.#prepared = prepared
    this.#timeouts.start()
    this.#stallWatch.start()
    this.dispatcher.start(prepared.handle, prepared.limit ?? this.#settings.options.concurrency, prepared.batches)
  }

  pause(): void {
    this.dispatcher.stop()
  }

  stats(): ConsumerStats {
    const partitions = [...this.#partitions.values()]
    const sum = (of: (partition: PartitionState) => number): number =>
      partitions.reduce((total, partition) => total + of(partition), 0)
    return {
      ...this.#counts,
      ...(this.#dedupe?.counts ?? NO_DUPLICATES),
      running: this.dispatcher.running,
      waiting: sum((partition) => partition.inbox.length),
      unsettled: sum((partition) => partition.tracked.length),
      inboxBytes: this.#inbox.bytes,
      partitions: partitions.length,
      reconnects: this.#session.reconnects,
      connected: this.#session.driver !== undefined,
      stalled: this.#stallWatch.current !== undefined,
      stalledSince: this.#stallWatch.current?.since,
      stallReason: this.#stallWatch.current?.reason,
      heldUpBy: this.#heldUpBy(partitions),
    }
  }

  #heldUpBy(partitions: readonly PartitionState[]): ConsumerStats['heldUpBy'] {
    if (this.#stallWatch.current !== undefined) return 'transport'
    if (!this.dispatcher.started) return 'paused'
    if (partitions.some((partition) => this.#inbox.isStalled(partition))) return 'window'
    const waiting = partitions.some((partition) => partition.inbox.length > 0)
    return waiting && !this.dispatcher.hasRoom ? 'handlers' : undefined
  }

  /** Drops what waits of a partition, then moves the driver. What runs is waited for. */
  async seek(assignment: PartitionAssignment, move: (driver: ConsumerDriver) => Promise<void>): Promise<void> {
    const driver = this.#session.driver
    if (driver === undefined) throw this.error('UNAVAILABLE', 'not connected', 'seek')
    await this.#revoke([assignment], 'graceful', REVOCATION_MS)
    try {
      await move(driver)
    } catch (cause) {
      // The driver holds a partition that was let go here: it comes back, where it was, with a new connection.
      const error = this.classify(cause, 'seek')
      this.#session.abandon(driver, error)
      throw error
    }
  }

  /** Stops cleanly: no new starts, running handlers end (until the deadline), acks are flushed, the rest is given back. */
  async close(timeoutMs: number, hurry?: AbortSignal): Promise<void> {
    this.#closing = true
    this.#stallWatch.stop()
    this.dispatcher.stop()
    this.#failures.stop()
    const started = performance.now()
    const driver = this.#session.driver
    const stopped = driver?.stop()
    // A driver that waits for room waits for nothing now.
    for (const partition of this.#partitions.values()) partition.wakeRoomWaiters()
    await stopped
    const partitions = [...this.#partitions.values()]
    const reason = `the loop closed and its deadline of ${timeoutMs} ms has passed`
    await this.#windDown.finish(partitions, timeoutMs, reason, driver, hurry)
    for (const partition of partitions) this.#closePartition(partition)
    this.#timeouts.stop()
    this.#dedupe?.close()
    await this.#session.close()
    await this.#settings.deadLetters?.close(Math.max(0, timeoutMs - (performance.now() - started)))
  }

  // The driver's side.

  #create(lost: (error: unknown) => void): ConsumerDriver {
    // A driver that failed to open may have assigned something before.
    void this.#revoke(this.assignments, 'lost', 0)
    this.#driver = this.#settings.connect(this.#sink(lost))
    return this.#driver
  }

  #sink(lost: (error: unknown) => void): ConsumerSink {
    return {
      assigned: (assignments) => this.#assign(assignments),
      revoked: (assignments, how, deadlineMs) => this.#revoke(assignments, how, deadlineMs ?? REVOCATION_MS),
      deliver: (assignment, deliveries) => this.#deliver(assignment, deliveries),
      capacity: (assignment) => this.#capacity(assignment),
      lost,
      outOfRange: (where) => this.#starts.outOfRange(where),
      startIgnored: (topic) => this.#starts.ignored(topic),
      report: (error) => this.#report(this.classify(error, 'consume')),
    }
  }

  #assign(assignments: readonly PartitionAssignment[]): void {
    const partitions = assignments.map((assignment) => new PartitionState(assignment, this.#acknowledgements))
    for (const partition of partitions) {
      if (this.#closing) partition.phase = 'draining'
      this.#partitions.set(partition.assignment, partition)
      this.dispatcher.add(partition)
    }
    this.#hooks.assigned(partitions)
    if (assignments.length > 0) this.logger.debug(`${this.subject}: assigned ${list(assignments)}`)
    else
      this.logger.warn(
        `${this.subject}: joined, and there is no partition for it: members beyond the number of partitions wait idle (partitions)`,
      )
    this.#settings.events.emit('assigned', { partitions: assignments })
  }

  async #revoke(
    assignments: readonly PartitionAssignment[],
    how: 'graceful' | 'lost',
    deadlineMs: number,
  ): Promise<void> {
    const partitions = assignments
      .map((assignment) => this.#partitions.get(assignment))
      .filter((partition) => partition !== undefined)
    if (partitions.length === 0) return
    if (how === 'graceful') {
      const ended = this.#windDown.finish(partitions, deadlineMs, TAKEN_AWAY, this.#driver)
      this.dispatcher.hurry()
      await ended
    }
    // The connection may have been lost while a handover was on its way: then the loss has been told already.
    const closed = partitions.filter((partition) => this.#closePartition(partition))
    if (closed.length === 0) return
    if (how === 'lost') void this.#hooks.revoked(closed, 'lost')
    this.logger.info(`${this.subject}: ${how === 'lost' ? 'lost' : 'handed over'} ${list(assignments)}`)
    this.#settings.events.emit('revoked', { partitions: assignments, how })
  }

  #deliver(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined {
    const partition = this.#partitions.get(assignment)
    if (partition === undefined || partition.phase !== 'open') return undefined
    this.#counts.received += deliveries.length
    partition.received += deliveries.length
    this.#stallWatch.delivered(assignment)
    this.#inbox.add(partition, deliveries)
    for (const delivery of deliveries) if (this.#isForOthers(delivery)) this.#settleUnseen(delivery, partition)
    this.dispatcher.dispatch()
    if (this.#closing || this.#inbox.capacity(partition) > 0) return undefined
    this.#tellFullWindow(partition)
    return partition.whenRoom()
  }

  #isForOthers(delivery: Delivery): boolean {
    return delivery.onlyGroup !== undefined && delivery.onlyGroup !== this.#settings.spec.group
  }

  /** A message for another group alone counts as done at once, without a start: it joins the acks in its place. */
  #settleUnseen(delivery: Delivery, partition: PartitionState): void {
    this.#inbox.remove(delivery)
    partition.settle(delivery, this.#driver?.settlement ?? 'individual')
    if (partition.done.length > 0) this.#settler.touch(partition)
  }

  #capacity(assignment: PartitionAssignment): number {
    const partition = this.#partitions.get(assignment)
    return partition === undefined ? 0 : this.#inbox.capacity(partition)
  }

  #tellFullWindow(partition: PartitionState): void {
    if (partition.pausedReported || !this.#inbox.isStalled(partition)) return
    partition.pausedReported = true
    const { topic, partition: number } = partition.assignment
    this.logger.warn(
      `${this.subject}: partition ${number} of '${topic}' pauses: ${partition.tracked.length} messages wait behind unsettled ones (maxAheadMessages)`,
    )
    const unsettled = partition.tracked.length
    this.#settings.events.emit('stalled', { topic, partition: number, reason: 'window', unsettled, backlog: 0 })
  }

  async #disconnected(error: StreamError): Promise<void> {
    this.#driver = undefined
    this.#settings.events.emit('reconnecting', { error })
    await this.#revoke(this.assignments, 'lost', 0)
  }

  // What dispatcher, settler and failures ask for.

  decode(delivery: Delivery): Promise<void> | undefined {
    return this.#decoder.decode(delivery)
  }

  succeeded(delivery: Delivery, partition: PartitionState): void {
    if (this.#dedupe?.succeeded(delivery, partition) === true) return
    this.marked(delivery, partition)
  }

  marked(delivery: Delivery, partition: PartitionState): void {
    if (!delivery.duplicate) this.#counts.handled += 1
    this.dispose(delivery, partition)
  }

  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void {
    if (this.#dedupe?.failed(delivery) === true) return
    this.#failures.handle(delivery, partition, error, final)
  }

  dispose(delivery: Delivery, partition: PartitionState): void {
    if (partition.phase === 'closed') return
    this.#inbox.remove(delivery)
    const behind = partition.settle(delivery, this.#driver?.settlement ?? 'individual')
    if (partition.done.length > 0) this.#settler.touch(partition)
    if (partition.wantsRoom) this.inboxShrank(partition)
    if (!delivery.handling) this.dispatcher.release(delivery, partition)
    else if (behind) this.dispatcher.fallBehind(delivery, partition)
  }

  drop(delivery: Delivery, partition: PartitionState): void {
    if (delivery.state === DeliveryState.Dropped) return
    delivery.state = DeliveryState.Dropped
    // A sender that retries sends a new delivery: this one must not hold up the window.
    if (this.#driver?.redelivery !== 'sender' || partition.phase === 'closed') return
    this.#inbox.remove(delivery)
    partition.forgetDropped()
    if (partition.wantsRoom) this.inboxShrank(partition)
    this.dispatcher.release(delivery, partition)
  }

  answerFailure(delivery: Delivery, error: unknown): Promise<void> | undefined {
    return delivery.replyTo === undefined ? undefined : this.#settings.replies?.failed(delivery, error)
  }

  takenBack(delivery: Delivery): void {
    this.#dedupe?.failed(delivery)
  }

  runGenerator(delivery: Delivery, generator: AsyncGenerator | Generator): Promise<unknown> {
    return runGenerator(delivery, generator, this.#prepared?.forward ?? answerOutputs)
  }

  skipped(delivery: Delivery, error: unknown): void {
    this.#counts.skipped += 1
    const { id, topic, attempt: attempts } = delivery
    this.#settings.events.emit('skipped', { id, topic, attempts, error })
  }

  retried(): void {
    this.#counts.retried += 1
  }

  deadLettered(delivery: Delivery, error: unknown): void {
    this.#counts.deadLettered += 1
    this.#settings.events.emit('deadLetter', {
      id: delivery.id,
      topic: delivery.topic,
      attempts: delivery.attempt,
      error,
    })
  }

  settle(partition: PartitionState): Promise<void> {
    return this.#settler.drain(partition)
  }

  settled(count: number): void {
    this.#counts.acked += count
  }

  settleFailed(partition: PartitionState, error: StreamError): void {
    this.#report(
      this.error(
        error.code,
        `acks of partition ${partition.assignment.partition} failed: ${error.message}`,
        'ack',
        error,
      ),
    )
  }

  overlapped(delivery: Delivery, error: unknown): void {
    // Its handler was never called.
    if (error instanceof Postponement) return
    this.#dedupe?.overlapped(delivery, error)
    this.#counts.overlaps += 1
    const outcome = error === undefined ? 'succeeded' : `failed (${describe(error)})`
    this.logger.warn(
      `${this.subject}: a handler of message ${delivery.id} ${outcome} after the message had left this loop's hands; another start of it may have overlapped`,
    )
  }

  refused(delivery: Delivery, partition: PartitionState): boolean {
    return this.#dedupe?.refused(delivery, partition) === true
  }

  unsettled(delivery: Delivery): void {
    if (delivery.claim !== undefined) this.#dedupe?.outlived(delivery)
  }

  restart(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.gone.signal.aborted) this.drop(delivery, partition)
    else this.#failures.postpone(delivery, partition, why)
  }

  takeBack(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.phase === 'closed') return
    if (![...partition.tracked].includes(delivery)) partition.tracked.push(delivery)
    if (delivery.handling) {
      // Its handler, which was told by ack(), goes on; the attempt has failed when it ends.
      delivery.state = DeliveryState.Running
      delivery.nacked = { reason: why }
      return
    }
    delivery.state = DeliveryState.Waiting
    delivery.unstart()
    partition.inbox.unshift(delivery)
    this.dispatcher.dispatch()
  }

  uncount(): void {
    this.#counts.handled -= 1
  }

  tellDuplicate({ id, topic, partition, offset }: Delivery): void {
    this.logger.debug(`${this.subject}: message ${id} was handled before, and is acked without its handler`)
    this.#settings.events.emit('deduplicated', { id, topic, partition, offset })
  }

  tellConflict({ id, topic }: Delivery, error: StreamError): void {
    this.logger.warn(`${this.subject}: ${error.code}: ${error.message}`)
    this.#settings.events.emit('conflict', { id, topic, error })
  }

  roomOf(partition: PartitionState): number {
    return this.#inbox.capacity(partition)
  }

  openDriver(): ConsumerDriver | undefined {
    return this.#session.driver
  }

  stalled(stall: Stall): void {
    const driver = this.#session.driver
    if (driver === undefined || this.#closing) return
    const { topic, partition, backlog } = stall
    const unsettled = [...this.#partitions.values()].find((one) => isOf(one, stall))?.tracked.length ?? 0
    this.#settings.events.emit('stalled', { topic, partition, reason: 'delivery', unsettled, backlog })
    this.#session.abandon(driver, stallError(this.subject, this.#settings.transport.name, stall))
  }

  recovered({ topic, partition }: Stall): void {
    this.logger.info(`${this.subject}: partition ${partition} of '${topic}' is no longer stalled`)
    this.#settings.events.emit('recovered', { topic, partition, reason: 'delivery' })
  }

  inboxShrank(partition: PartitionState): void {
    if (!this.#inbox.wakeIfRoom(partition)) return
    const { topic, partition: number } = partition.assignment
    this.#settings.events.emit('recovered', { topic, partition: number, reason: 'window' })
  }

  idle(partition: PartitionState): void {
    if (!partition.busy) this.#windDown.idle()
  }

  fail(error: unknown): void {
    this.#settings.onFailure(
      toStreamError(error, { code: 'UNKNOWN', transport: this.#settings.transport.name, operation: 'handle' }),
    )
  }

  classify(cause: unknown, operation: string): StreamError {
    return this.#settings.transport.adapter.classifyError(cause, operation, this.#settings.spec.topics[0]?.topic)
  }

  error(code: ErrorCode, message: string, operation: string, cause?: unknown): StreamError {
    return new StreamError(`${this.subject}: ${message}`, {
      code,
      transport: this.#settings.transport.name,
      topic: this.#settings.spec.topics[0]?.topic,
      operation,
      cause,
    })
  }

  partitions(): Iterable<PartitionState> {
    return this.#partitions.values()
  }

  timeoutError(message: string): StreamError {
    return this.error('TIMEOUT', message, 'handle')
  }

  leftBehind(delivery: Delivery, partition: PartitionState, error: StreamError): void {
    this.#counts.overlaps += 1
    this.#report(error)
    this.#dedupe?.leftBehind(delivery)
    if (delivery.state === DeliveryState.Running) this.#failures.byPolicy(delivery, partition, error)
    this.idle(partition)
  }

  /** Forgets a partition and everything in it. False when that was done before. */
  #closePartition(partition: PartitionState): boolean {
    if (partition.phase === 'closed') return false
    partition.phase = 'closed'
    this.#partitions.delete(partition.assignment)
    this.dispatcher.remove(partition)
    abortHandlers(partition, TAKEN_AWAY)
    for (const delivery of partition.tracked) {
      this.#inbox.remove(delivery)
      if (isUnsettled(delivery)) delivery.state = DeliveryState.Dropped
    }
    this.#settler.discard(partition, goneError(partition))
    partition.wakeRoomWaiters()
    this.idle(partition)
    return true
  }

  #report(error: StreamError): void {
    this.#settings.events.emit('error', error)
  }
}

function list(assignments: readonly PartitionAssignment[]): string {
  return assignments.map(({ topic, partition }) => `${topic}/${partition}`).join(', ') || 'no partitions'
}

function isOf({ assignment }: PartitionState, { topic, partition }: Stall): boolean {
  return assignment.topic === topic && assignment.partition === partition
}
