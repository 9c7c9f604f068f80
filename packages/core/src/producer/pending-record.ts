import type { OriginalRecord } from '../contract/native-form.js'
import type { OutgoingRecord } from '../contract/record.js'
import type { StreamError } from '../errors.js'
import type { Headers } from '../message.js'

/** Receipt of an accepted record. */
export interface SendReceipt {
  readonly id: string
  readonly topic: string
  /** If the transport returns it. */
  readonly partition: number | undefined
  /** If the transport returns it; as in `message.offset`. */
  readonly offset: string | undefined
}

export const RecordState = {
  /** Not in a lane yet: the buffer is full, or no driver has been open so far. */
  Waiting: 0,
  Queued: 1,
  InFlight: 2,
  Settled: 3,
} as const

export type RecordState = (typeof RecordState)[keyof typeof RecordState]

/** Receives a record's outcome: one `send`, or the `sendBatch` it is part of. */
export interface RecordOwner {
  accepted(record: PendingRecord): void
  failed(record: PendingRecord, error: StreamError): void
}

/** A record from `send` to its outcome. The only object allocated per message on the sending side. */
export class PendingRecord implements OutgoingRecord {
  state: RecordState = RecordState.Waiting
  resends = 0
  /** Counted by the send buffer. */
  admitted = false
  /** The sweep's count at which it times out; infinite when the send has its own timeout. */
  deadlineTick = Number.POSITIVE_INFINITY
  /** Order of a producer's records; lanes resend in this order. */
  order = 0
  /** Index within a `sendBatch`. */
  index = 0
  acceptedPartition: number | undefined = undefined
  acceptedOffset: string | number | bigint | undefined = undefined
  /** Set by a single `send`. */
  resolve: ((receipt: SendReceipt) => void) | undefined = undefined
  reject: ((error: StreamError) => void) | undefined = undefined
  /** Set by a send with a signal: stops listening to it once the record has its outcome. */
  onSettled: (() => void) | undefined = undefined
  readonly id: string
  readonly key: string | undefined
  readonly payload: Buffer | undefined
  readonly headers: Headers | undefined
  readonly timestamp: number
  readonly partition: number | undefined
  readonly sequence: bigint | undefined
  readonly contentType: string | undefined
  readonly original: OriginalRecord | undefined
  readonly size: number
  readonly owner: RecordOwner

  constructor(fields: Omit<OutgoingRecord, 'resends' | 'size'>, size: number, owner: RecordOwner) {
    this.id = fields.id
    this.key = fields.key
    this.payload = fields.payload
    this.headers = fields.headers
    this.timestamp = fields.timestamp
    this.partition = fields.partition
    this.sequence = fields.sequence
    this.contentType = fields.contentType
    this.original = fields.original
    this.size = size
    this.owner = owner
  }
}
