import { isUtf8 } from 'node:buffer'
import {
  Delivery,
  type Headers,
  type OutgoingRecord,
  type PartitionAssignment,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'

/** Bytes that a record takes besides key, payload and headers, generously: lengths, deltas, the header with its id. */
const RECORD_OVERHEAD = 110

/** Headers that have their own place in a {@link Delivery}. Kafka itself holds key, timestamp and tombstone. */
const TAKEN_OUT: ReadonlySet<string> = new Set([WIRE_HEADERS.id, WIRE_HEADERS.timestamp, WIRE_HEADERS.replyTo])

const NO_HEADERS: Headers = Object.freeze({})

/** Bytes that a record takes in a batch, rounded up. */
export function wireSize(record: OutgoingRecord): number {
  return record.size + RECORD_OVERHEAD
}

export interface History {
  readonly priorAttempts: number
  readonly suspect: boolean
}

/** A received record. Headers that aren't UTF-8 are left to `native`; of a repeated header the last one counts. */
export function toDelivery(
  message: KafkaMessage,
  offset: number,
  assignment: PartitionAssignment,
  history: History,
): Delivery {
  const headers = message.headers ?? {}
  return new Delivery(assignment, {
    id: headerText(headers[WIRE_HEADERS.id]),
    key: message.key?.toString('utf8'),
    payload: message.value ?? undefined,
    headers: readHeaders(headers),
    timestamp: readTimestamp(headerText(headers[WIRE_HEADERS.timestamp]) ?? message.timestamp),
    position: offset,
    replyTo: headerText(headers[WIRE_HEADERS.replyTo]),
    native: message,
    priorAttempts: history.priorAttempts,
    suspect: history.suspect,
  })
}

function readHeaders(native: NonNullable<KafkaMessage['headers']>): Headers {
  let headers: Record<string, string> | undefined
  for (const name in native) {
    if (TAKEN_OUT.has(name)) continue
    const value = headerText(native[name])
    if (value === undefined) continue
    headers ??= {}
    // A foreign header may be called `__proto__`.
    if (name === '__proto__') Object.defineProperty(headers, name, { value, enumerable: true })
    else headers[name] = value
  }
  return headers ?? NO_HEADERS
}

type HeaderValue = NonNullable<KafkaMessage['headers']>[string]

function headerText(value: HeaderValue): string | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value
  if (last === undefined || last === null) return undefined
  if (typeof last === 'string') return last
  return isUtf8(last) ? last.toString('utf8') : undefined
}

function readTimestamp(text: string): number {
  const timestamp = Number(text)
  return timestamp >= 0 ? timestamp : Date.now()
}
