import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import type { ProducerDriver } from '../contract/producer-driver.js'
import { Deque } from '../deque.js'
import type { StreamError } from '../errors.js'
import { BatchInFlight, type BatchOwner } from './batch-in-flight.js'
import { type PendingRecord, RecordState } from './pending-record.js'

interface LaneLimits {
  readonly maxBatchRecords: number
  readonly maxBatchBytes: number
}

/** What lanes of one producer share. */
export interface LaneHost extends BatchOwner {
  readonly limits: LaneLimits
  /** The open driver, or `undefined` while disconnected. */
  driver(): ProducerDriver | undefined
  tick(): number
  /** @param failures - how often in a row nothing was accepted. */
  resending(records: number, failures: number, error: StreamError | undefined): void
  /** The lane has nothing left to do. */
  idle(lane: Lane): void
}

/**
 * One ordered line of sending. Batches are sent in order; after a failure nothing more is sent until every batch in
 * flight has ended, then everything unconfirmed is sent again from the first record on, before anything newer.
 */
export class Lane {
  readonly number: number
  readonly #host: LaneHost
  readonly #queue = new Deque<PendingRecord>()
  readonly #inFlight = new Set<BatchInFlight>()
  /** Records that failed batches did not confirm, until the last batch in flight has ended. */
  #unconfirmed: PendingRecord[] = []
  #lastError: StreamError | undefined
  #failures = 0
  #backoff: NodeJS.Timeout | undefined

  constructor(number: number, host: LaneHost) {
    this.number = number
    this.#host = host
  }

  /** Batches in flight, for the watchdog and for `stats()`. */
  get inFlight(): ReadonlySet<BatchInFlight> {
    return this.#inFlight
  }

  get queued(): number {
    return this.#queue.length
  }

  add(record: PendingRecord): void {
    record.state = RecordState.Queued
    this.#queue.push(record)
  }

  /** Sends what may be sent now. */
  pump(): void {
    const driver = this.#host.driver()
    // A batch may fail before publish returns, so the state is checked before each.
    while (
      driver !== undefined &&
      !this.#recovering &&
      this.#queue.length > 0 &&
      this.#inFlight.size < driver.maxInFlightBatches
    ) {
      const records = this.#take()
      if (records.length === 0) return
      this.#send(driver, records)
    }
  }

  /** Something is unconfirmed: nothing newer may be sent. */
  get #recovering(): boolean {
    return this.#backoff !== undefined || this.#unconfirmed.length > 0
  }

  /** The driver is lost: its records are unconfirmed, and are sent again by the next one. */
  disconnected(): void {
    clearTimeout(this.#backoff)
    this.#backoff = undefined
    for (const batch of [...this.#inFlight]) this.#ended(batch)
    this.#requeue()
  }

  /** Drops everything; the caller has settled it. */
  clear(): void {
    clearTimeout(this.#backoff)
    this.#queue.clear()
    this.#inFlight.clear()
    this.#unconfirmed = []
  }

  *records(): Generator<PendingRecord> {
    for (const batch of this.#inFlight) yield* batch.records
    yield* this.#unconfirmed
    yield* this.#queue
  }

  #take(): PendingRecord[] {
    const { maxBatchRecords, maxBatchBytes } = this.#host.limits
    const records: PendingRecord[] = []
    let bytes = 0
    for (
      let record = this.#queue.peek();
      record !== undefined && records.length < maxBatchRecords;
      record = this.#queue.peek()
    ) {
      if (record.state === RecordState.Queued) {
        if (records.length > 0 && bytes + record.size > maxBatchBytes) break
        bytes += record.size
        record.state = RecordState.InFlight
        records.push(record)
      }
      this.#queue.shift()
    }
    return records
  }

  #send(driver: ProducerDriver, records: PendingRecord[]): void {
    const batch = new BatchInFlight(records, this.number, this.#host.tick(), this.#host)
    this.#inFlight.add(batch)
    let result: Promise<void> | undefined
    try {
      result = driver.publish(batch) ?? undefined
    } catch (error) {
      batch.failAll(error)
    }
    if (result === undefined) return this.#finish(batch)
    result.then(
      () => this.#finish(batch),
      (error: unknown) => {
        batch.failAll(error)
        this.#finish(batch)
      },
    )
  }

  #finish(batch: BatchInFlight): void {
    // A batch that is no longer listed belonged to a lost driver: its records were requeued already.
    if (!this.#inFlight.has(batch)) return
    this.#ended(batch)
    if (this.#unconfirmed.length === 0) {
      this.#failures = 0
      this.pump()
      this.#tellIfIdle()
      return
    }
    if (this.#inFlight.size > 0) return
    this.#failures += 1
    const wait = this.#lastError?.retryAfterMs ?? backoffDelayMs(RECONNECT_BACKOFF, this.#failures)
    this.#requeue()
    this.#backoff = setTimeout(() => {
      this.#backoff = undefined
      this.pump()
      // Records that waited here may have timed out meanwhile.
      this.#tellIfIdle()
    }, wait)
  }

  #tellIfIdle(): void {
    if (this.#queue.length === 0 && this.#inFlight.size === 0 && this.#unconfirmed.length === 0) this.#host.idle(this)
  }

  #ended(batch: BatchInFlight): void {
    this.#inFlight.delete(batch)
    const unconfirmed = batch.unconfirmed()
    // Something was accepted: the next failure is a new one.
    if (unconfirmed.length < batch.records.length) this.#failures = 0
    this.#unconfirmed.push(...unconfirmed)
    if (batch.lastError !== undefined) this.#lastError = batch.lastError
  }

  #requeue(): void {
    const records = this.#unconfirmed.sort((left, right) => left.order - right.order)
    this.#unconfirmed = []
    if (records.length === 0) return
    this.#host.resending(records.length, this.#failures, this.#lastError)
    for (const record of records.reverse()) {
      record.state = RecordState.Queued
      record.resends += 1
      this.#queue.unshift(record)
    }
  }
}
