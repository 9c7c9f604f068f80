import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import type { ConsumerSpec } from '../contract/adapter.js'
import type { ConsumerDriver, ConsumerSink, PartitionAssignment, PartitionLag } from '../contract/consumer-driver.js'
import type { Dedupe } from '../dedupe/dedupe.js'
import { describe, type StreamError, toStreamError } from '../errors.js'
import type { Events } from '../events.js'
import type { Replies } from '../feedback/replies.js'
import { Session, withSignal } from '../session.js'
import { wait } from '../time.js'
import type { Transport } from '../transport/transport.js'
import { AssignedPartitions, REVOCATION_MS } from './assigned-partitions.js'
import type { ConsumerEvents, ConsumerStats } from './consumer-events.js'
import type { ConsumerOptionValues } from './consumer-options.js'
import { ConsumerReports } from './consumer-reports.js'
import { consumerStatistics } from './consumer-statistics.js'
import type { DeadLetters } from './dead-letters.js'
import type { Delivery } from './delivery.js'
import { DriverSlot } from './driver-slot.js'
import { HandlerTimeouts } from './handler-timeouts.js'
import { Inbox } from './inbox.js'
import type { PreparedHandler } from './loop-handler.js'
import { Outcomes } from './outcomes.js'
import { PartitionHooks } from './partition-hooks.js'
import type { PartitionState } from './partition-state.js'
import { type Stall, StallWatch, type StallWatchHost } from './stall-watch.js'
import { StartWatch } from './start-watch.js'
import { StoppedPartitions } from './stopped-partitions.js'
import { UnackedWatch } from './unacked-watch.js'

export interface EngineSettings {
  readonly subject: string
  readonly transport: Transport
  readonly spec: ConsumerSpec
  /** The topics or the pattern, as shown in errors. */
  readonly topic: string
  /** Creates the driver of one connection. */
  readonly connect: (sink: ConsumerSink) => ConsumerDriver
  readonly options: ConsumerOptionValues
  readonly deadLetters: DeadLetters | undefined
  /** `undefined`: the loop doesn't answer requests. */
  readonly replies: Replies | undefined
  readonly dedupe: Dedupe | undefined
  readonly events: Events<ConsumerEvents>
  /** The loop can't continue: it closes, and `run` rejects. */
  readonly onFailure: (error: StreamError) => void
}

/**
 * Connects a driver with the handlers. Creates the components and takes them through connecting, starting, seeking and
 * closing: {@link AssignedPartitions} is the driver's side, {@link Outcomes} the handlers'.
 */
export class ConsumerEngine {
  readonly #settings: EngineSettings
  readonly #reports: ConsumerReports
  readonly #slot = new DriverSlot()
  readonly #inbox: Inbox
  readonly #outcomes: Outcomes
  readonly #partitions: AssignedPartitions
  readonly #timeouts: HandlerTimeouts
  readonly #stallWatch: StallWatch
  readonly #unackedWatch: UnackedWatch
  readonly #starts: StartWatch
  readonly #stopped: StoppedPartitions
  readonly #session: Session<ConsumerDriver, void>
  #closing = false

  constructor(settings: EngineSettings) {
    const { options, transport, spec, subject, events, deadLetters, replies, dedupe } = settings
    const { handlerTimeoutMs, handlerGraceMs, outOfRange: policy } = options
    this.#settings = settings
    const slot = this.#slot
    const reports = new ConsumerReports({ subject, transport, spec, events })
    const inbox = new Inbox(options)
    const fail = (error: unknown): void => this.#fail(error)
    const hooks = this.#hooks()
    const beforeLeaving = async (leaving: readonly PartitionState[]): Promise<void> => {
      await Promise.all([hooks.revoked(leaving, 'graceful'), dedupe?.givenBack()])
    }
    const stopped = new StoppedPartitions({ errorPolicy: options.errorPolicy, reports, fail })
    const group = spec.groupOrigin
    const outcomes = new Outcomes({
      options,
      group,
      reports,
      inbox,
      slot,
      stopped,
      deadLetters,
      replies,
      dedupe,
      beforeLeaving,
      fail,
    })
    const stallWatch = new StallWatch(this.#stallHost(), options.stallTimeoutMs)
    const partitions = new AssignedPartitions({ group, outcomes, inbox, slot, hooks, reports, stallWatch, stopped })
    this.#reports = reports
    this.#inbox = inbox
    this.#outcomes = outcomes
    this.#stallWatch = stallWatch
    this.#partitions = partitions
    this.#stopped = stopped
    this.#timeouts = new HandlerTimeouts({ handlerTimeoutMs, handlerGraceMs, reports, partitions, outcomes })
    const unackedTimeoutMs = options.ack === 'manual' ? (options.unackedTimeoutMs ?? handlerTimeoutMs) : 0
    this.#unackedWatch = new UnackedWatch({
      timeoutMs: unackedTimeoutMs,
      partitions,
      unacked: (delivery) => reports.unacked(delivery, unackedTimeoutMs),
    })
    this.#starts = new StartWatch({
      subject,
      transport: transport.name,
      logger: transport.logger,
      spec,
      policy,
      events,
      fail,
    })
    this.#session = this.#connection()
  }

  get assignments(): PartitionAssignment[] {
    return this.#partitions.assignments
  }

  /** The driver that delivers and settles; it may still be opening. */
  driver(): ConsumerDriver | undefined {
    return this.#slot.driver
  }

  /** Connects and joins the group; deliveries are buffered until `start`. */
  open(): Promise<void> {
    return this.#session.start()
  }

  start(prepared: PreparedHandler): void {
    this.#timeouts.start()
    this.#unackedWatch.start()
    this.#stallWatch.start()
    this.#outcomes.dispatcher.start(prepared, prepared.limit ?? this.#settings.options.concurrency)
  }

  pause(): void {
    this.#stopStarting()
  }

  stats(): ConsumerStats {
    return consumerStatistics({
      reports: this.#reports,
      partitions: this.#partitions,
      stopped: this.#stopped,
      dispatcher: this.#outcomes.dispatcher,
      inbox: this.#inbox,
      stallWatch: this.#stallWatch,
      unackedWatch: this.#unackedWatch,
      session: this.#session,
      dedupe: this.#settings.dedupe,
    })
  }

  /**
   * Returns the group's lag as the driver reports it; `undefined` while disconnected, or when the connection is lost
   * meanwhile. Rejects with a classified error.
   */
  async lag(): Promise<readonly PartitionLag[] | undefined> {
    const driver = this.#session.driver
    if (driver?.lag === undefined) return undefined
    try {
      const lags = await driver.lag()
      return this.#session.driver === driver ? lags : undefined
    } catch (cause) {
      if (this.#session.driver !== driver) return undefined
      const error = this.#reports.classify(cause, 'lag')
      // Errors of a client whose connection is lost don't count, even before core was notified of the loss.
      const { code, message } = error
      if (code !== 'ABORTED' && code !== 'CLOSED' && code !== 'UNKNOWN') throw error
      throw this.#reports.error('UNAVAILABLE', `the lag is unknown: ${message}`, 'lag', cause)
    }
  }

  /** Drops the waiting messages of a partition, then moves the driver. Waits for running handlers. */
  async seek(assignment: PartitionAssignment, move: (driver: ConsumerDriver) => Promise<void>): Promise<void> {
    const driver = this.#session.driver
    if (driver === undefined) throw this.#reports.error('UNAVAILABLE', 'not connected', 'seek')
    await this.#partitions.revoke([assignment], 'graceful', REVOCATION_MS)
    try {
      await move(driver)
    } catch (cause) {
      // The driver holds a partition that was released here: it is assigned again, at the same offset, with a new
      // connection.
      const error = this.#reports.classify(cause, 'seek')
      this.#session.abandon(driver, error)
      throw error
    }
  }

  /**
   * Stops cleanly: starts nothing new, waits for running handlers (until the deadline), flushes acks, returns the rest
   * to the broker.
   */
  async close(timeoutMs: number, hurry?: AbortSignal): Promise<void> {
    const { dedupe, deadLetters } = this.#settings
    this.#closing = true
    this.#partitions.drain()
    this.#stallWatch.stop()
    this.#stopStarting()
    this.#outcomes.failures.stop()
    const driver = this.#session.driver
    const stopped = driver?.stop()
    this.#partitions.stopWaiting()
    await stopped
    await this.#partitions.close(timeoutMs, driver, hurry)
    this.#timeouts.stop()
    this.#unackedWatch.stop()
    dedupe?.close()
    await this.#session.close()
    // Every write that counts has ended: those still in flight were given up with their partition.
    await deadLetters?.close(0)
  }

  #stopStarting(): void {
    this.#outcomes.dispatcher.stop()
    this.#settings.dedupe?.giveBack()
  }

  #connection(): Session<ConsumerDriver, void> {
    const { subject, transport, topic, options } = this.#settings
    return new Session({
      subject,
      transport: transport.name,
      topic,
      backoff: RECONNECT_BACKOFF,
      connectTimeoutMs: options.connectTimeoutMs,
      probeIntervalMs: options.probeIntervalMs,
      logger: transport.logger,
      create: (lost) => this.#create(lost),
      classify: (error) => this.#reports.classify(error, 'consume'),
      ready: (_driver, _ready, again) => {
        this.#starts.joined(this.assignments)
        this.#reports.ready(again)
      },
      lost: async (error) => {
        this.#slot.driver = undefined
        this.#reports.reconnecting(error)
        await this.#partitions.revoke(this.assignments, 'lost', 0)
      },
    })
  }

  #create(lost: (error: unknown) => void): ConsumerDriver {
    const partitions = this.#partitions
    // A driver that failed to open may have assigned partitions before.
    void partitions.revoke(this.assignments, 'lost', 0)
    this.#slot.driver = this.#settings.connect({
      assigned: (assignments) => partitions.assign(assignments),
      revoked: (assignments, how, deadlineMs) => partitions.revoke(assignments, how, deadlineMs ?? REVOCATION_MS),
      deliver: (assignment, deliveries) => partitions.deliver(assignment, deliveries),
      capacity: (assignment) => partitions.capacity(assignment),
      lost,
      outOfRange: (where) => this.#starts.outOfRange(where),
      partitionStopped: (assignment, error) =>
        this.#stopped.stop(assignment, assignment, this.#reports.classify(error, 'consume')),
      partitionResumed: (assignment) => this.#stopped.resume(assignment, assignment),
      startIgnored: (topic) => this.#starts.ignored(topic),
      dropped: (delivery, error, signal) => this.#dropped(delivery, error, signal),
      removed: (range) => this.#reports.removed(range),
      report: (error) => this.#reports.report(this.#reports.classify(error, 'consume')),
    })
    return this.#slot.driver
  }

  async #dropped(delivery: Delivery, error: StreamError, signal: AbortSignal): Promise<void> {
    const { deadLetters } = this.#settings
    for (let attempt = 1; deadLetters !== undefined; attempt += 1) {
      const { failure } = await withSignal(deadLetters.write(delivery, error), signal)
      if (failure === undefined) break
      if (attempt === 1) this.#reports.report(failure)
      await wait(backoffDelayMs(RECONNECT_BACKOFF, attempt), signal)
    }
    this.#reports.dropped(delivery, error, deadLetters?.topicFor(delivery.topic))
  }

  #hooks(): PartitionHooks {
    const { onAssigned, onRevoked } = this.#settings.options
    return new PartitionHooks(onAssigned, onRevoked, {
      dispatch: () => this.#outcomes.dispatcher.dispatch(),
      fail: (error) => this.#fail(error),
      report: (error) =>
        this.#reports.report(this.#reports.error('UNKNOWN', `onRevoked failed: ${describe(error)}`, 'revoke', error)),
    })
  }

  #stallHost(): StallWatchHost {
    return {
      ordering: this.#settings.options.ordering,
      // A partition that can't be read is silent for a known reason, which a new connection doesn't remove.
      partitions: () => [...this.#partitions.all()].filter(({ assignment }) => !this.#stopped.has(assignment)),
      roomOf: (partition) => this.#inbox.capacity(partition),
      openDriver: () => this.#session.driver,
      stalled: (stall) => this.#stalled(stall),
      recovered: (stall) => this.#reports.recovered(stall),
    }
  }

  #stalled(stall: Stall): void {
    const driver = this.#session.driver
    if (driver === undefined || this.#closing) return
    const { topic, partition } = stall
    const found = [...this.#partitions.all()].find(
      ({ assignment }) => assignment.topic === topic && assignment.partition === partition,
    )
    this.#reports.stalled(stall, found?.tracked.length ?? 0)
    this.#session.abandon(driver, this.#reports.stallError(stall))
  }

  #fail(error: unknown): void {
    const { transport, onFailure } = this.#settings
    onFailure(toStreamError(error, { code: 'UNKNOWN', transport: transport.name, operation: 'handle' }))
  }
}
