import type { Delivery } from '../consumer/delivery.js'
import type { Headers } from '../message.js'
import { DEAD_LETTER_HEADERS, NOT_CARRIED_HEADER } from '../wire/reserved-headers.js'

/** A dead-lettered message, as a list shows it. */
export interface DeadLetter {
  /** The original's id. A message that was dead-lettered more than once is listed as often, under one id. */
  readonly id: string
  readonly key: string | undefined
  /**
   * Message of the error that ended the last attempt, at most 1,000 characters; empty if another client wrote the dead
   * letter.
   */
  readonly error: string
  /** Code of the error, or its class if it isn't Streamswitch's. */
  readonly code: string
  /** Handler starts. */
  readonly attempts: number
  /** Origin of the message: `partition` and `offset` as that transport has them. */
  readonly origin: {
    readonly topic: string
    readonly group: string
    readonly partition: number
    readonly offset: string
  }
  /** When the original was sent, in milliseconds since the epoch. */
  readonly timestamp: number
  /** When it was dead-lettered, in milliseconds since the epoch. */
  readonly failedAt: number
  /** Size of the payload, in bytes. */
  readonly size: number
  /**
   * What of the original the dead-letter topic could not accept, and its size: `payload 3145728 bytes`. `undefined`:
   * the dead letter is whole.
   */
  readonly incomplete: string | undefined
  /**
   * What of the original the transport that holds the dead letters can't represent: `key bytes, header 'tags' (list)`.
   * `undefined`: nothing. A replay sends the rest.
   */
  readonly notCarried: string | undefined
}

/** A dead letter with the original's payload and headers. */
export interface DeadLetterDetails extends DeadLetter {
  /** The original's payload; `undefined` is a tombstone. */
  readonly bytes: Buffer | undefined
  /** The original's headers. */
  readonly headers: Headers
}

const ADDED: ReadonlySet<string> = new Set([...Object.values(DEAD_LETTER_HEADERS), NOT_CARRIED_HEADER])

/** Reads a record of a dead-letter topic. Missing headers default to `topic` and `group`. */
export function readDeadLetter(delivery: Delivery, topic: string, group: string): DeadLetterDetails {
  const { id, key, bytes, headers, timestamp } = delivery
  const number = (name: string, missing: number): number => {
    const value = Number(headers[name] ?? Number.NaN)
    return Number.isSafeInteger(value) ? value : missing
  }
  return {
    id,
    key,
    error: headers[DEAD_LETTER_HEADERS.error] ?? '',
    code: headers[DEAD_LETTER_HEADERS.errorCode] ?? 'UNKNOWN',
    attempts: number(DEAD_LETTER_HEADERS.attempts, 0),
    origin: {
      topic: headers[DEAD_LETTER_HEADERS.topic] ?? topic,
      group: headers[DEAD_LETTER_HEADERS.group] ?? group,
      partition: number(DEAD_LETTER_HEADERS.partition, 0),
      offset: headers[DEAD_LETTER_HEADERS.offset] ?? '',
    },
    timestamp: number(DEAD_LETTER_HEADERS.timestamp, timestamp),
    failedAt: number(DEAD_LETTER_HEADERS.failedAt, timestamp),
    size: bytes?.length ?? 0,
    incomplete: headers[DEAD_LETTER_HEADERS.incomplete],
    notCarried: headers[NOT_CARRIED_HEADER],
    bytes,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !ADDED.has(name))),
  }
}

/** Returns the fields that a list shows. */
export function summaryOf({ bytes: _bytes, headers: _headers, ...summary }: DeadLetterDetails): DeadLetter {
  return summary
}
