import { type AttemptHistory, Delivery, type OutgoingRecord, type PartitionAssignment } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import { KAFKA_FORM } from './native-form.js'
import { ReceivedRecord } from './received-record.js'
import { textsOf } from './record-texts.js'

/** Estimated size of a record besides key, payload and headers, in bytes: lengths, deltas, the header with its id. */
const RECORD_OVERHEAD = 110

/** Returns the size of a record in a batch, in bytes, rounded up. */
export function wireSize(record: OutgoingRecord): number {
  return record.size + RECORD_OVERHEAD
}

export interface History extends AttemptHistory {
  readonly suspect: boolean
}

/** Converts a received record to a delivery. */
export function toDelivery(
  message: KafkaMessage,
  offset: number,
  assignment: PartitionAssignment,
  history: History,
): Delivery {
  const { id, replyTo, timestamp, headers, bytes } = textsOf(message)
  return new Delivery(assignment, {
    id,
    key: message.key?.toString('utf8'),
    payload: message.value ?? undefined,
    headers,
    timestamp,
    extraBytes: bytes,
    brokerTimestamp: message instanceof ReceivedRecord ? message.time : message.timestamp,
    position: offset,
    replyTo,
    native: message,
    form: KAFKA_FORM,
    ...history,
  })
}

/** Returns the offset of a received record. */
export function offsetOf(message: KafkaMessage): number {
  return message instanceof ReceivedRecord ? message.position : Number(message.offset)
}
