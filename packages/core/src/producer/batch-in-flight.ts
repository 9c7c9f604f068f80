import type { PublishBatch } from '../contract/record.js'
import type { StreamError } from '../errors.js'
import { type PendingRecord, RecordState } from './pending-record.js'

/** What a batch reports to the lane that sent it. */
export interface BatchOwner {
  accepted(record: PendingRecord): void
  /** Permanently refused. */
  refused(record: PendingRecord, error: StreamError): void
  classify(error: unknown): StreamError
}

/** A batch passed to a driver. Records neither accepted nor refused when it ends are unconfirmed, and sent again. */
export class BatchInFlight implements PublishBatch {
  readonly records: readonly PendingRecord[]
  readonly lane: number
  /** The last retryable failure, for logs and for the error of a send that times out. */
  lastError: StreamError | undefined
  /** The sweep's count when it was passed to the driver. */
  readonly sentTick: number
  readonly #owner: BatchOwner
  #unreported: number

  constructor(records: readonly PendingRecord[], lane: number, sentTick: number, owner: BatchOwner) {
    this.records = records
    this.lane = lane
    this.sentTick = sentTick
    this.#owner = owner
    this.#unreported = records.length
  }

  accept(index: number, partition?: number, offset?: string | number | bigint): void {
    const record = this.records[index]
    // A late report of an older driver counts if the record isn't settled yet: the broker has it.
    if (record === undefined || record.state === RecordState.Settled) return
    this.#unreported -= 1
    record.acceptedPartition = partition
    record.acceptedOffset = offset
    this.#owner.accepted(record)
  }

  acceptAll(partition?: number): void {
    for (let index = 0; index < this.records.length; index += 1) this.accept(index, partition)
  }

  fail(index: number, cause: unknown): void {
    const record = this.records[index]
    if (record === undefined || record.state !== RecordState.InFlight) return
    const error = this.#owner.classify(cause)
    if (error.retryable) {
      this.lastError = error
      return
    }
    this.#unreported -= 1
    this.#owner.refused(record, error)
  }

  failAll(cause: unknown): void {
    for (let index = 0; index < this.records.length; index += 1) this.fail(index, cause)
  }

  /** Returns the records without an outcome, in order. */
  unconfirmed(): PendingRecord[] {
    return this.#unreported === 0 ? [] : this.records.filter((record) => record.state === RecordState.InFlight)
  }
}
