import { Delivery, type Headers, type OutgoingRecord, type PartitionAssignment } from '@streamswitch/core/driver'

/** A message as the log holds it. */
export interface StoredMessage {
  readonly offset: number
  readonly id: string
  readonly key: string | undefined
  readonly payload: Buffer | undefined
  readonly headers: Headers
  readonly timestamp: number
  readonly size: number
}

const NO_HEADERS: Headers = Object.freeze({})

/** Copies a record, as a broker would: what the sender changes afterwards doesn't change what was sent. */
export function toStored(record: OutgoingRecord, offset: number): StoredMessage {
  return {
    offset,
    id: record.id,
    key: record.key,
    payload: record.payload === undefined ? undefined : Buffer.from(record.payload),
    headers: record.headers === undefined ? NO_HEADERS : Object.freeze({ ...record.headers }),
    timestamp: record.timestamp,
    size: record.size,
  }
}

export function toDelivery(message: StoredMessage, assignment: PartitionAssignment): Delivery {
  return new Delivery(assignment, {
    id: message.id,
    key: message.key,
    payload: message.payload,
    headers: message.headers,
    timestamp: message.timestamp,
    position: message.offset,
    native: message,
  })
}
