import { StreamError } from '../errors.js'
import type { Headers } from '../message.js'
import { checkNames, signalFields } from '../options/call-options.js'
import { option } from '../options/fields.js'
import { describeType, Problems } from '../options/problems.js'
import {
  exceeds,
  hasControls,
  MAX_HEADER_NAME,
  MAX_HEADERS_BYTES,
  MAX_ID_BYTES,
  MAX_KEY_BYTES,
  MAX_TIMESTAMP,
} from '../wire/limits.js'
import { RESERVED_PREFIX } from '../wire/reserved-headers.js'
import type { SendOptions } from './producer-options.js'

/** Options of a `sendBatch` as a whole. */
export const batchFields = { ...signalFields, timeoutMs: option.integer({ min: 1 }) }

/**
 * Throws INVALID_ARGUMENT (TOO_LARGE for headers beyond 32 KiB) that names each unknown or invalid option of a `send`.
 */
export function checkSendOptions(options: SendOptions, topic: string): void {
  const problems = new Problems()
  if (typeof options !== 'object' || options === null) {
    problems.add('options', `must be an object, got ${describeType(options)}`)
    problems.throwIfAny(`invalid options of a send to '${topic}'`, { topic, operation: 'send' })
  }
  checkSendNames(options, problems)
  checkText(problems, 'key', options.key, MAX_KEY_BYTES)
  checkText(problems, 'id', options.id, MAX_ID_BYTES)
  if (options.id === '' || (typeof options.id === 'string' && hasControls(options.id)))
    problems.add('id', 'must not be empty or contain control characters')
  checkInteger(problems, 'partition', options.partition, 0)
  checkInteger(problems, 'timestamp', options.timestamp, 0, MAX_TIMESTAMP)
  checkInteger(problems, 'timeoutMs', options.timeoutMs, 1)
  if (options.sequence !== undefined && typeof options.sequence !== 'bigint')
    problems.add('sequence', `must be a bigint, got ${describeType(options.sequence)}`)
  if (options.headers !== undefined) checkHeaders(problems, options.headers)
  problems.throwIfAny(`invalid options of a send to '${topic}'`, { topic, operation: 'send' })
  if (options.headers !== undefined && headersSize(options.headers) > MAX_HEADERS_BYTES) {
    throw new StreamError(`the headers of a send to '${topic}' have more than ${MAX_HEADERS_BYTES} bytes in total`, {
      code: 'TOO_LARGE',
      topic,
      operation: 'send',
    })
  }
}

export const SEND_OPTIONS: readonly (keyof SendOptions)[] = [
  'key',
  'headers',
  'id',
  'partition',
  'timestamp',
  'sequence',
  'timeoutMs',
  'signal',
]

const COPY_OF_A_MESSAGE =
  "a received message can't be passed as options: select what to pass on, such as { key: message.key, headers: message.headers }"

/** Adds a problem for each unknown option of a send, or of a call that accepts further ones as `known` lists. */
export function checkSendNames(options: object, problems: Problems, known: readonly string[] = SEND_OPTIONS): void {
  // A property of every delivery, which { ...message } copies as well.
  if ('assignment' in options) problems.add('options', COPY_OF_A_MESSAGE)
  else checkNames(options, known, problems)
}

/** Returns the size of a record for the limits of batches and buffers, in bytes. */
export function recordSize(payload: Buffer | undefined, key: string | undefined, headers: Headers | undefined): number {
  return (
    (payload === undefined ? 0 : payload.length) +
    (key === undefined ? 0 : key.length) +
    (headers === undefined ? 0 : headersSize(headers))
  )
}

/** Returns the size of names and values together, in bytes. */
export function headersSize(headers: Headers): number {
  let size = 0
  for (const name of Object.keys(headers)) size += name.length + Buffer.byteLength(headers[name] ?? '')
  return size
}

function checkHeaders(problems: Problems, headers: unknown): void {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    problems.add('headers', `must be an object of strings, got ${describeType(headers)}`)
    return
  }
  for (const [name, value] of Object.entries(headers)) {
    const path = `headers.${name.slice(0, 60)}`
    if (name === '' || name.length > MAX_HEADER_NAME || hasControls(name) || !name.isWellFormed())
      problems.add(path, 'a header name must have 1 to 256 well-formed characters and no control characters')
    if (name.toLowerCase().startsWith(RESERVED_PREFIX))
      problems.add(path, `names that begin with '${RESERVED_PREFIX}' are reserved`)
    if (typeof value !== 'string') problems.add(path, `must be a string, got ${describeType(value)}`)
    else if (!value.isWellFormed()) problems.add(path, 'must be well-formed Unicode (no lone surrogates)')
  }
}

function checkText(problems: Problems, path: string, value: unknown, maxBytes: number): void {
  if (value === undefined) return
  if (typeof value !== 'string') problems.add(path, `must be a string, got ${describeType(value)}`)
  else if (!value.isWellFormed()) problems.add(path, 'must be well-formed Unicode (no lone surrogates)')
  else if (exceeds(value, maxBytes)) problems.add(path, `must have at most ${maxBytes} bytes`)
}

function checkInteger(
  problems: Problems,
  path: string,
  value: unknown,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): void {
  if (value === undefined) return
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max)
    problems.add(path, `must be an integer ${range}, got ${describeType(value)}`)
}
