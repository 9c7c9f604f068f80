import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Headers } from '../message.js'
import {
  exceeds,
  hasControls,
  MAX_ATTEMPTS,
  MAX_HEADER_NAME,
  MAX_HEADERS_BYTES,
  MAX_ID_BYTES,
  MAX_KEY_BYTES,
  MAX_REPLY_TO_BYTES,
  MAX_RESERVED_BYTES,
  MAX_TIMESTAMP,
} from '../wire/limits.js'
import { RESERVED_PREFIX } from '../wire/reserved-headers.js'

/**
 * Received messages obey the same limits as sent ones (`wire/limits.ts`), regardless of the sender. `Delivery` applies
 * these functions to the raw values that an adapter hands over. An adapter that stores, compares or logs a value before
 * it creates the delivery applies the same function first. Each function is idempotent, cheap for valid values, and
 * never throws. The unmodified record is in `message.native`.
 */

/**
 * Returns the id under which a message is known, or `undefined` for an empty id. An id of more than 256 bytes, with
 * control characters, or of bytes that aren't valid UTF-8 is replaced by its digest, so that resends of the same
 * message are still recognised and different ids stay different.
 */
export function arrivedId(id: string | Buffer | undefined): string | undefined {
  if (id === undefined || id === '') return undefined
  if (typeof id !== 'string') return idOfBytes(id)
  if (isPlain(id)) return id
  return exceeds(id, MAX_ID_BYTES) || hasControls(id) || !id.isWellFormed() ? digestOf(id) : id
}

function idOfBytes(bytes: Buffer): string | undefined {
  const text = bytes.toString()
  // A replacement character may have been sent, or may stand for bytes that aren't valid UTF-8.
  return text.includes('\ufffd') && !isUtf8(bytes) ? digestOfBytes(bytes) : arrivedId(text)
}

/**
 * True for most ids: short, without control characters and surrogates. One pass over the characters, which costs a third of
 * the separate checks.
 */
function isPlain(id: string): boolean {
  if (id.length > PLAIN_ID) return false
  for (let index = 0; index < id.length; index += 1) {
    const code = id.charCodeAt(index)
    if (code < 0x20 || code >= 0x7f) return false
  }
  return true
}

const PLAIN_ID = 64

/**
 * Returns the key by which a message is ordered. A key of more than 1,024 bytes is replaced by its digest, which keeps
 * the order within the key.
 */
export function arrivedKey(key: string | undefined): string | undefined {
  if (key === undefined || key === '') return key
  return exceeds(key, MAX_KEY_BYTES) || !key.isWellFormed() ? digestOf(key) : key
}

/**
 * Returns the timestamp in milliseconds since the epoch: the sender's, else the broker's, else the current time.
 * Accepts numbers, bigints, decimal digits and `Date`s; anything but an integer between 0 and the maximum `Date` is
 * ignored.
 */
export function arrivedTimestamp(sender: unknown, broker?: unknown): number {
  return readTimestamp(sender) ?? readTimestamp(broker) ?? Date.now()
}

function readTimestamp(value: unknown): number | undefined {
  switch (typeof value) {
    case 'number':
      // Adding 0 makes 0 of -0.
      return Number.isInteger(value) && value >= 0 && value <= MAX_TIMESTAMP ? value + 0 : undefined
    case 'string':
      // No more digits than the maximum date has: a string of any length must not be converted to a number.
      return value.length <= 16 && /^\d+$/.test(value) ? readTimestamp(Number(value)) : undefined
    case 'bigint':
      return value >= 0n && value <= MAX_TIMESTAMP ? Number(value) : undefined
    default:
      return value instanceof Date ? readTimestamp(value.getTime()) : undefined
  }
}

/** Recorded handler starts: a non-negative integer; anything else counts as none. */
export function arrivedAttempts(attempts: number | undefined): number {
  if (attempts === undefined || !Number.isInteger(attempts) || attempts < 0) return 0
  return Math.min(attempts + 0, MAX_ATTEMPTS)
}

/**
 * Returns the reply address, or `undefined` for an empty address, one of more than 1,024 bytes, and one with control
 * characters: no reply could be delivered to it.
 */
export function arrivedReplyTo(address: string | undefined): string | undefined {
  if (address === undefined || address === '' || exceeds(address, MAX_REPLY_TO_BYTES) || hasControls(address))
    return undefined
  return address.isWellFormed() ? address : undefined
}

/** Headers within the limits, and how many were dropped. */
export interface ArrivedHeaders {
  readonly headers: Headers
  readonly leftOut: number
}

/**
 * Limits the headers of a message, in their order, to 32 KiB in total. Headers with a name that could not be sent
 * (empty, over 256 characters, control characters) are dropped. Reserved headers have a separate limit of 16 KiB.
 * Returns the same object when nothing has to change.
 */
export function arrivedHeaders(headers: Headers): ArrivedHeaders {
  return areWithinLimits(headers) ? { headers, leftOut: 0 } : boundedHeaders(headers)
}

/** True when the headers can stay as they are: nearly always. */
export function areWithinLimits(headers: Headers): boolean {
  let users = MAX_HEADERS_BYTES
  let reserved = MAX_RESERVED_BYTES
  for (const name in headers) {
    const value = headers[name] as string
    const size = name.length + value.length * 3
    if (isReserved(name)) reserved -= size
    else users -= size
    if (users < 0 || reserved < 0 || !isSendable(name, value)) return false
  }
  return true
}

/** {@link arrivedHeaders} for headers that failed `areWithinLimits`: the slow path, with exact sizes. */
export function boundedHeaders(headers: Headers): ArrivedHeaders {
  const kept: Record<string, string> = {}
  const room = { users: MAX_HEADERS_BYTES, reserved: MAX_RESERVED_BYTES }
  let leftOut = 0
  for (const name of Object.keys(headers)) {
    const value: unknown = headers[name]
    const text = typeof value === 'string' ? value.toWellFormed() : undefined
    const whose = isReserved(name) ? 'reserved' : 'users'
    const size = text === undefined || text.length > room[whose] ? Infinity : name.length + Buffer.byteLength(text)
    if (text === undefined || size > room[whose] || !isSendable(name, text)) {
      leftOut += 1
      continue
    }
    room[whose] -= size
    // A header may be named `__proto__`: an assignment would not create a property.
    Object.defineProperty(kept, name, { value: text, enumerable: true, configurable: true, writable: true })
  }
  return {
    headers: leftOut === 0 && Object.keys(kept).every((name) => kept[name] === headers[name]) ? headers : kept,
    leftOut,
  }
}

function isSendable(name: string, value: string): boolean {
  return (
    name !== '' &&
    name.length <= MAX_HEADER_NAME &&
    typeof value === 'string' &&
    value.isWellFormed() &&
    !hasControls(name) &&
    name.isWellFormed()
  )
}

function isReserved(name: string): boolean {
  return name.startsWith(RESERVED_PREFIX)
}

/**
 * Replaces a string that is too long or contains unprintable characters. Computed from its UTF-8 bytes where they are
 * valid, so that other tools can compute it too.
 */
function digestOf(text: string): string {
  return digestOfBytes(Buffer.from(text, text.isWellFormed() ? 'utf8' : 'utf16le'))
}

function digestOfBytes(bytes: Buffer): string {
  return `sha256-${createHash('sha256').update(bytes).digest('hex')}`
}
