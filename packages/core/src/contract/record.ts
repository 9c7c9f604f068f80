import type { Headers } from '../message.js'
import type { OriginalRecord } from './native-form.js'

/**
 * One encoded record to be sent. Drivers read it and never change it. Each resend passes the same object. `payload` is
 * exactly the body on the wire; everything else is sent in the transport's own fields (`docs/wire-format.md`).
 */
export interface OutgoingRecord {
  /** Assigned before the first attempt; the same in each resend. */
  readonly id: string
  readonly key: string | undefined
  /** `undefined` is a tombstone. Empty bytes are a value. */
  readonly payload: Buffer | undefined
  /** The user's headers and core's reserved headers; `undefined` when there are none. */
  readonly headers: Headers | undefined
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  /**
   * The partition that the user requested, or `undefined` for the driver's partitioner. Core has checked it against
   * `partitions`.
   */
  readonly partition: number | undefined
  /** The user's increasing number for `publishDedupe`, when a `publisherName` is set. */
  readonly sequence: bigint | undefined
  /** Content type of the payload when it differs from the producer's codec: of a reply. */
  readonly contentType?: string | undefined
  /**
   * Set for a received message of the same format that is forwarded unchanged. Drivers without a `nativeForm` never see
   * one.
   */
  readonly original?: OriginalRecord | undefined
  /** Payload, key and headers in total, in bytes, including what only `original` has: counts for batch limits. */
  readonly size: number
  /** How often it was passed to a driver before: 0 at the first attempt. */
  readonly resends: number
}

/**
 * A batch passed to a driver. The driver reports each record exactly once, at any time until the promise of `publish`
 * settles; a record unreported by then counts as ambiguous (possibly stored) and is sent again.
 */
export interface PublishBatch {
  readonly records: readonly OutgoingRecord[]
  /** The lane the batch belongs to (see `ProducerDriver.laneOf`). */
  readonly lane: number
  /** The transport has durably accepted this record. `offset` is shown in the receipt, if the broker returns it. */
  accept(index: number, partition?: number, offset?: string | number | bigint): void
  /** Accepts every record that is not yet reported. */
  acceptAll(partition?: number): void
  /**
   * The record was refused. After a retryable error core sends it again, before any newer record of its lane; any other
   * error rejects the user's `send`.
   */
  fail(index: number, error: unknown): void
  /** Fails every record that is not yet reported. */
  failAll(error: unknown): void
}
