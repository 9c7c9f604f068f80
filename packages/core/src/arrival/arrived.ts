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
 * What arrives obeys the rules of sending (`wire/limits.ts`), whoever sent it. `Delivery` applies these functions to the raw values that
 * an adapter hands over. An adapter that stores, compares or logs a value before it makes the delivery applies the same function first.
 * Each is idempotent, costs little for what is in order, and never throws. The record as it came is in `message.native`.
 */

/**
 * The id under which a message is known: `undefined` for an empty one, which is none. One of more than 256 bytes or with control
 * characters, or of bytes that are no UTF-8, is replaced by a digest of it, so that resends of the same message are still recognised, and no two ids
 * are taken for one.
 */
export function arrivedId(id: string | Buffer | undefined): string | undefined {
  if (id === undefined || id === '') return undefined
  if (typeof id !== 'string') return idOfBytes(id)
  if (isPlain(id)) return id
  return exceeds(id, MAX_ID_BYTES) || hasControls(id) || !id.isWellFormed() ? digestOf(id) : id
}

function idOfBytes(bytes: Buffer): string | undefined {
  const text = bytes.toString()
  // A replacement character may have been sent, or stand for bytes that are no text.
  return text.includes('\ufffd') && !isUtf8(bytes) ? digestOfBytes(bytes) : arrivedId(text)
}

/** Most ids: short, without control characters and surrogates. Looked at in one go, which costs a third of the checks that tell the others apart. */
function isPlain(id: string): boolean {
  if (id.length > PLAIN_ID) return false
  for (let index = 0; index < id.length; index += 1) {
    const code = id.charCodeAt(index)
    if (code < 0x20 || code >= 0x7f) return false
  }
  return true
}

const PLAIN_ID = 64

/** The key by which a message is ordered. One of more than 1,024 bytes is replaced by a digest of it, which keeps its order. */
export function arrivedKey(key: string | undefined): string | undefined {
  if (key === undefined || key === '') return key
  return exceeds(key, MAX_KEY_BYTES) || !key.isWellFormed() ? digestOf(key) : key
}

/**
 * Milliseconds since the epoch: what the sender says, else what the broker says, else now. Numbers, bigints, decimal digits and `Date`s
 * are understood; what is no whole number from 0 to the last moment that a `Date` can hold counts as not said.
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
      // No more digits than the last moment has: a text of any length must not be turned into a number.
      return value.length <= 16 && /^\d+$/.test(value) ? readTimestamp(Number(value)) : undefined
    case 'bigint':
      return value >= 0n && value <= MAX_TIMESTAMP ? Number(value) : undefined
    default:
      return value instanceof Date ? readTimestamp(value.getTime()) : undefined
  }
}

/** Handler starts on record: a whole number from 0; anything else counts as none. */
export function arrivedAttempts(attempts: number | undefined): number {
  if (attempts === undefined || !Number.isInteger(attempts) || attempts < 0) return 0
  return Math.min(attempts + 0, MAX_ATTEMPTS)
}

/** Where replies go; `undefined` for an empty address, one of more than 1,024 bytes, and one with control characters: nobody can be reached there. */
export function arrivedReplyTo(address: string | undefined): string | undefined {
  if (address === undefined || address === '' || exceeds(address, MAX_REPLY_TO_BYTES) || hasControls(address))
    return undefined
  return address.isWellFormed() ? address : undefined
}

/** Headers within the limits, and how many had to be left out. */
export interface ArrivedHeaders {
  readonly headers: Headers
  readonly leftOut: number
}

/**
 * The headers of a message, in their order, as far as they stay within 32 KiB together; those with a name that could not be sent (empty,
 * over 256 characters, control characters) are left out. Reserved ones have 16 KiB of their own. Returns the same object
 * where nothing has to change.
 */
export function arrivedHeaders(headers: Headers): ArrivedHeaders {
  return areWithinLimits(headers) ? { headers, leftOut: 0 } : boundedHeaders(headers)
}

/** Whether headers may stay as they are: nearly always. */
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

/** {@link arrivedHeaders} for headers that `areWithinLimits` has found not to be: the slow way, by exact sizes. */
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
    // A header may be called `__proto__`: assignment would not make a property of it.
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

/** Stands for a text that is too long or can't be shown. Of its UTF-8 bytes where it has any, so that other tools can compute it. */
function digestOf(text: string): string {
  return digestOfBytes(Buffer.from(text, text.isWellFormed() ? 'utf8' : 'utf16le'))
}

function digestOfBytes(bytes: Buffer): string {
  return `sha256-${createHash('sha256').update(bytes).digest('hex')}`
}
