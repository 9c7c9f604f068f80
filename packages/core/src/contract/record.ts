import type { Headers } from '../message.js'
import type { OriginalRecord } from './native-form.js'

/**
 * One encoded record on its way out. Drivers read it and never change it. Each resend hands over the same object. `payload` is exactly what goes on the wire as the
 * body; everything else travels in the transport's own place for it (`docs/wire-format.md`).
 */
export interface OutgoingRecord {
  /** Assigned before the first attempt; the same in each resend. */
  readonly id: string
  readonly key: string | undefined
  /** `undefined` is a tombstone. Empty bytes are a value. */
  readonly payload: Buffer | undefined
  /** The user's headers and core's reserved ones; `undefined` when there are none. */
  readonly headers: Headers | undefined
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  /** The partition the user asked for, or `undefined` for the driver's partitioner. Checked by core against `partitions`. */
  readonly partition: number | undefined
  /** The user's increasing number for `publishDedupe`, where a `publisherName` is set. */
  readonly sequence: bigint | undefined
  /** What the payload is, where it isn't what the producer's codec makes: of a reply. */
  readonly contentType?: string | undefined
  /** Set for a received message of the same format that is passed on as it came. Drivers without a `nativeForm` never see one. */
  readonly original?: OriginalRecord | undefined
  /** Payload, key and headers together, in bytes, with what only `original` has: what batch limits count. */
  readonly size: number
  /** How often it was handed to a driver before: 0 at the first attempt. */
  readonly resends: number
}

/**
 * A batch in the hands of a driver. The driver reports each record exactly once, at any time until the promise of `publish`
 * settles; what is unreported by then counts as ambiguous (perhaps stored) and is sent again.
 */
export interface PublishBatch {
  readonly records: readonly OutgoingRecord[]
  /** The lane the batch belongs to (see `ProducerDriver.laneOf`). */
  readonly lane: number
  /** The transport has durably accepted this record. `offset` is what the receipt shows, where the broker tells. */
  accept(index: number, partition?: number, offset?: string | number | bigint): void
  /** Accepts every record that is not reported yet. */
  acceptAll(partition?: number): void
  /**
   * The record was refused. A retryable error makes core send it again, before anything newer of its lane; any other rejects
   * the user's `send`.
   */
  fail(index: number, error: unknown): void
  /** Fails every record that is not reported yet. */
  failAll(error: unknown): void
}
