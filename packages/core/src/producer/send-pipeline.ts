import { atMost } from '../at-most.js'
import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import type { ProducerDriver, ProducerReady, ProducerSink } from '../contract/producer-driver.js'
import { type ErrorCode, StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import { Repetition } from '../repetition.js'
import { Session } from '../session.js'
import { wait } from '../time.js'
import type { Transport } from '../transport/transport.js'
import type { Lane } from './lane.js'
import { LaneRouter, type RouterHost } from './lane-router.js'
import { type PendingRecord, RecordState } from './pending-record.js'
import type { ProducerStats } from './producer-events.js'
import type { ProducerOptionValues } from './producer-options.js'
import { SendBuffer } from './send-buffer.js'

/** Number of consecutive failures of a lane from which on they are logged as warnings. */
const FAILURES_WORTH_A_WARNING = 3

export interface PipelineSettings {
  readonly transport: Transport
  readonly spec: TopicSpec
  readonly options: ProducerOptionValues
  readonly adapterOptions: unknown
  /** Content type of the codec, if any. */
  readonly contentType?: string | undefined
  /** See `ProducerSpec.onlyGroup`. */
  readonly onlyGroup?: GroupNames | undefined
  /** Creates drivers instead of the transport's ordinary ones. */
  readonly create?: (sink: ProducerSink) => ProducerDriver
  readonly onLost?: (error: StreamError) => void
  readonly onReady?: (again: boolean) => void
}

/**
 * Passes encoded records to a driver and ensures that each gets exactly one outcome: buffer, lanes, batches, resending,
 * deadlines, reconnecting.
 */
export class SendPipeline implements RouterHost {
  readonly limits: ProducerOptionValues
  readonly #settings: PipelineSettings
  readonly #logger: Logger
  readonly #buffer: SendBuffer
  readonly #router: LaneRouter
  readonly #session: Session<ProducerDriver, ProducerReady>
  readonly #tickMs: number
  readonly #resending = new Repetition()
  readonly #failing = new Repetition()
  #tick = 0
  #order = 0
  #sweeper: NodeJS.Timeout | undefined
  #idle: { readonly upTo: number; readonly resolve: () => void }[] = []
  #connecting: Promise<void> | undefined
  #closing: Promise<void> | undefined
  /** Last reason for unconfirmed records, until one is accepted again: part of the error of those that time out. */
  #lastFailure: StreamError | undefined
  #sent = 0
  #accepted = 0
  #failed = 0
  #resent = 0

  constructor(settings: PipelineSettings) {
    const { transport, options, spec } = settings
    this.#settings = settings
    this.limits = options
    this.#logger = transport.logger
    this.#buffer = new SendBuffer(options)
    this.#router = new LaneRouter(this)
    this.#tickMs = Math.min(
      250,
      Math.max(5, Math.floor(Math.min(options.sendTimeoutMs, options.publishTimeoutMs) / 20)),
    )
    this.#session = new Session({
      subject: `producer ${spec.topic} on ${transport.name}`,
      transport: transport.name,
      topic: spec.topic,
      backoff: RECONNECT_BACKOFF,
      connectTimeoutMs: options.connectTimeoutMs,
      probeIntervalMs: options.probeIntervalMs,
      logger: this.#logger,
      create: (lost) =>
        settings.create?.({ lost }) ??
        transport.driver.producer(
          {
            topic: spec,
            contentType: settings.contentType,
            onlyGroup: settings.onlyGroup,
            options: settings.adapterOptions,
          },
          { lost },
        ),
      classify: (error) => this.classify(error),
      ready: (driver, ready, again) => this.#opened(driver, ready, again),
      lost: (error) => this.#disconnected(error),
    })
  }

  /** Opens the driver, once. */
  async start(): Promise<void> {
    if (this.#closing !== undefined) throw this.error('CLOSED', 'the producer is closed', 'init')
    await this.#session.start()
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  /** Accepts a record; its owner is notified of the outcome later, never during this call. */
  submit(record: PendingRecord, timeoutMs: number = this.limits.sendTimeoutMs): void {
    this.#sent += 1
    this.#order += 1
    record.order = this.#order
    this.#sweeper ??= setInterval(() => this.#sweep(), this.#tickMs)
    const swept = timeoutMs === this.limits.sendTimeoutMs
    if (swept) record.deadlineTick = this.#tick + 1 + Math.ceil(timeoutMs / this.#tickMs)
    else setTimeout(() => this.#expire(record, timeoutMs), timeoutMs).unref()
    if (this.#buffer.add(record, swept)) this.#router.route(record)
    if (!this.#router.ready) this.#startLazily()
    this.#router.schedulePump()
  }

  /** Fails a record whose sender no longer waits for it. */
  abandon(record: PendingRecord, error: StreamError): void {
    if (record.state !== RecordState.Settled) this.#settle(record, error)
  }

  /** Resolves when every record submitted so far has an outcome. */
  flush(): Promise<void> {
    const upTo = this.#order
    this.#router.pump()
    if (this.#settledUpTo(upTo)) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push({ upTo, resolve }))
  }

  /**
   * Flushes for at most `timeoutMs`, fails the rest, closes the driver. Later calls return the first call's promise.
   */
  close(timeoutMs: number, hurry?: AbortSignal): Promise<void> {
    this.#closing ??= this.#close(timeoutMs, hurry)
    return this.#closing
  }

  stats(): ProducerStats {
    return {
      sent: this.#sent,
      accepted: this.#accepted,
      failed: this.#failed,
      resent: this.#resent,
      buffered: this.#buffer.messages,
      bufferedBytes: this.#buffer.bytes,
      waiting: this.#buffer.waiting,
      reconnects: this.#session.reconnects,
      connected: this.#session.driver !== undefined,
    }
  }

  // Called by lanes and batches.

  driver(): ProducerDriver | undefined {
    return this.#session.driver
  }

  tick(): number {
    return this.#tick
  }

  accepted(record: PendingRecord): void {
    this.#settle(record, undefined)
  }

  refused(record: PendingRecord, error: StreamError): void {
    this.#settle(record, error)
  }

  classify(cause: unknown): StreamError {
    return this.#settings.transport.adapter.classifyError(cause, 'send', this.#settings.spec.topic)
  }

  resending(records: number, failures: number, error: StreamError | undefined): void {
    this.#resent += records
    if (error !== undefined) this.#lastFailure = error
    const line = `${this.#subject}: sending ${records} unconfirmed records again${error === undefined ? '' : `: ${error.message}`}`
    // A single failure is normal; repeated ones are logged as a warning, once.
    if (failures >= FAILURES_WORTH_A_WARNING && this.#failing.isDue(error?.code)) this.#logger.warn(line)
    else if (failures < FAILURES_WORTH_A_WARNING && this.#resending.isDue(error?.code)) this.#logger.info(line)
    else this.#logger.debug(line)
  }

  idle(lane: Lane): void {
    this.#router.idle(lane)
  }

  error(code: ErrorCode, message: string, operation: string, cause?: StreamError): StreamError {
    return new StreamError(`${this.#subject}: ${message}`, {
      code,
      transport: this.#settings.transport.name,
      topic: this.#settings.spec.topic,
      operation,
      cause,
    })
  }

  get #subject(): string {
    return `producer ${this.#settings.spec.topic} on ${this.#settings.transport.name}`
  }

  /**
   * Connects for sends, for as long as one waits: each has its own timeout. Only a permanent failure fails them all.
   */
  async #connectForSends(): Promise<void> {
    while (this.#buffer.oldest() !== undefined) {
      try {
        return await this.#session.start()
      } catch (error) {
        const failure = this.classify(error)
        if (!failure.retryable) return this.#failAll(failure)
        await wait(backoffDelayMs(RECONNECT_BACKOFF, 1))
      }
    }
  }

  #failAll(failure: StreamError): void {
    for (const record of [...this.#buffer.unsettled()]) this.#settle(record, failure)
    this.#router.clearUnrouted()
  }

  #startLazily(): void {
    this.#connecting ??= this.#connectForSends().finally(() => {
      this.#connecting = undefined
      // Records sent after the last attempt had failed for the others.
      if (!this.#router.ready && this.#buffer.oldest() !== undefined && this.#closing === undefined) this.#startLazily()
    })
  }

  #opened(driver: ProducerDriver, ready: ProducerReady, again: boolean): void {
    this.#router.opened(driver, ready)
    this.#settings.onReady?.(again)
  }

  async #disconnected(error: StreamError): Promise<void> {
    this.#lastFailure = error
    this.#router.disconnected()
    this.#settings.onLost?.(error)
  }

  #settle(record: PendingRecord, error: StreamError | undefined): void {
    record.state = RecordState.Settled
    record.onSettled?.()
    if (error === undefined) {
      this.#accepted += 1
      this.#lastFailure = undefined
      record.owner.accepted(record)
    } else {
      this.#failed += 1
      record.owner.failed(record, error)
    }
    this.#buffer.release(record)
    for (let next = this.#buffer.admit(); next !== undefined; next = this.#buffer.admit()) {
      this.#router.route(next)
      this.#router.schedulePump()
    }
    if (this.#idle.length > 0) this.#wakeFlushes()
  }

  #settledUpTo(order: number): boolean {
    return (this.#buffer.oldest()?.order ?? Number.POSITIVE_INFINITY) > order
  }

  #wakeFlushes(): void {
    const done = this.#idle.filter((flush) => this.#settledUpTo(flush.upTo))
    if (done.length === 0) return
    this.#idle = this.#idle.filter((flush) => !done.includes(flush))
    for (const flush of done) flush.resolve()
  }

  #expire(record: PendingRecord, timeoutMs: number): void {
    if (record.state === RecordState.Settled) return
    const failure = this.#session.lastFailure ?? this.#lastFailure
    const reason = failure === undefined ? '' : `; the last failure was: ${failure.message}`
    if (!record.admitted) {
      const message = `send buffer full for ${timeoutMs} ms (maxBufferedMessages, maxBufferedBytes): messages are produced faster than the broker accepts them${reason}`
      return this.#settle(record, this.error('RESOURCE_EXHAUSTED', message, 'send', failure))
    }
    const connection = this.#session.driver === undefined ? ', the transport is not connected' : ''
    const message = `no confirmation within ${timeoutMs} ms (sendTimeoutMs)${connection}; the message ${fateOf(record)}${reason}`
    this.#settle(record, this.error('TIMEOUT', message, 'send', failure))
  }

  /** Runs once per tick: fails overdue records; gives up a driver that never settles a batch. */
  #sweep(): void {
    this.#tick += 1
    for (
      let record = this.#buffer.overdue(this.#tick);
      record !== undefined;
      record = this.#buffer.overdue(this.#tick)
    ) {
      this.#expire(record, this.limits.sendTimeoutMs)
    }
    const driver = this.#session.driver
    const publishTimeoutMs = driver?.publishTimeoutMs ?? this.limits.publishTimeoutMs
    if (driver !== undefined && this.#router.overdue(this.#tick - Math.ceil(publishTimeoutMs / this.#tickMs))) {
      const message = `no answer to a batch within ${publishTimeoutMs} ms (publishTimeoutMs)`
      return this.#session.abandon(driver, this.error('UNAVAILABLE', message, 'send'))
    }
    if (this.#buffer.oldest() !== undefined) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  async #close(timeoutMs: number, hurry: AbortSignal | undefined): Promise<void> {
    await atMost(this.flush(), timeoutMs, hurry)
    for (const record of [...this.#buffer.unsettled()]) {
      this.#settle(
        record,
        this.error('CLOSED', `closed before the message was confirmed; it ${fateOf(record)}`, 'send'),
      )
    }
    this.#router.clear()
    clearInterval(this.#sweeper)
    await this.#session.close()
  }
}

/** Describes what a sender can know of a record without an outcome. */
function fateOf(record: PendingRecord): string {
  return record.state === RecordState.InFlight || record.resends > 0 ? 'may have been stored' : 'was not sent'
}
