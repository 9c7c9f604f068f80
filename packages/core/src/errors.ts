import { printable } from './printable.js'

/** What went wrong, in the words that every transport shares. `docs/runbook.md` has a line for each. */
export const ERROR_CODES = [
  'INVALID_ARGUMENT',
  'UNSUPPORTED',
  'NOT_FOUND',
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'UNAVAILABLE',
  'TIMEOUT',
  'ABORTED',
  'CLOSED',
  'TOO_LARGE',
  'RESOURCE_EXHAUSTED',
  'SERIALIZATION',
  'CONFLICT',
  'UNKNOWN',
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/** Codes whose cause usually passes by itself, so that the same call may succeed later. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'TIMEOUT', 'RESOURCE_EXHAUSTED', 'UNKNOWN'])

const STREAM_ERROR = Symbol.for('streamswitch.StreamError')
const BATCH_ERROR = Symbol.for('streamswitch.BatchError')

export interface StreamErrorOptions {
  /** What kind of error it is. */
  readonly code: ErrorCode
  /** Whether the same call may succeed later. Default: by code (UNAVAILABLE, TIMEOUT, RESOURCE_EXHAUSTED, UNKNOWN). */
  readonly retryable?: boolean | undefined
  /** Name of the adapter, where one is concerned. */
  readonly transport?: string | undefined
  /** What was being done: `send`, `open`, `ack`, … */
  readonly operation?: string | undefined
  /** The topic that is concerned, by its portable name. */
  readonly topic?: string | undefined
  /** How long the other side asked to wait before the next try, in milliseconds (an HTTP Retry-After, for one). */
  readonly retryAfterMs?: number | undefined
  /** The error that led to this one. */
  readonly cause?: unknown
  /** What is wrong, point by point: each on a line of its own below the message. */
  readonly points?: readonly string[] | undefined
}

/**
 * The one error that Streamswitch throws, rejects with and emits. Recognise it with {@link isStreamError} or `instanceof`:
 * both also accept errors made by another installed copy of this package. Control characters in the message, which may quote what came
 * from outside, are escaped.
 */
export class StreamError extends Error {
  override readonly name: string = 'StreamError'
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly transport: string | undefined
  readonly operation: string | undefined
  readonly topic: string | undefined
  readonly retryAfterMs: number | undefined
  readonly [STREAM_ERROR] = true

  constructor(message: string, options: StreamErrorOptions) {
    const lines = [message, ...(options.points ?? [])].map(printable)
    super(lines.join('\n  - '), options.cause === undefined ? undefined : { cause: options.cause })
    this.code = options.code
    this.retryable = options.retryable ?? RETRYABLE.has(options.code)
    this.transport = options.transport
    this.operation = options.operation
    this.topic = options.topic
    this.retryAfterMs = options.retryAfterMs
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // Subclasses keep the ordinary prototype check: only the base class is recognised across installs.
    if (this !== StreamError) return Function.prototype[Symbol.hasInstance].call(this, value)
    return isStreamError(value)
  }
}

/** True for a {@link StreamError}, also one from another installed copy of `@streamswitch/core`. */
export function isStreamError(value: unknown): value is StreamError {
  try {
    return typeof value === 'object' && value !== null && STREAM_ERROR in value
  } catch {
    return false
  }
}

/** One record of a batch that failed. */
export interface BatchFailure {
  /** Position in the list given to `sendBatch`. */
  readonly index: number
  readonly error: StreamError
}

/** Rejection of `sendBatch`: lists each record that failed. Records that are not listed were accepted. */
export class BatchError extends StreamError {
  override readonly name: string = 'BatchError'
  readonly failures: readonly BatchFailure[]
  /** How many records the call was given. */
  readonly total: number
  readonly [BATCH_ERROR] = true

  constructor(failures: readonly BatchFailure[], total: number, context: Omit<StreamErrorOptions, 'code' | 'cause'>) {
    const first = failures[0]
    if (first === undefined) throw new TypeError('a BatchError needs at least one failure')
    super(
      `${failures.length} of ${total} records were not accepted; the first, at index ${first.index}: ${first.error.message}`,
      {
        ...context,
        code: first.error.code,
        retryable: failures.every((failure) => failure.error.retryable),
        cause: first.error,
      },
    )
    this.failures = failures
    this.total = total
  }
}

/** True for a {@link BatchError}, also one from another installed copy of `@streamswitch/core`. */
export function isBatchError(value: unknown): value is BatchError {
  return isStreamError(value) && BATCH_ERROR in value
}

/** Wraps anything thrown into a {@link StreamError}; one that already is passes through unchanged. */
export function toStreamError(value: unknown, fallback: StreamErrorOptions): StreamError {
  if (isStreamError(value)) return value
  return new StreamError(messageOf(value), { cause: value, ...fallback })
}

/** One line about anything thrown. Never throws, whatever it is given. */
export function describe(error: unknown): string {
  if (isStreamError(error)) return `${error.code}: ${messageOf(error)}`
  return isError(error) ? `${nameOf(error)}: ${messageOf(error)}` : messageOf(error)
}

/** The message of an error, and any other value as text. Never throws, whatever it is given: what can't be told is said to be so. */
export function messageOf(thrown: unknown): string {
  return textOf(() => (thrown instanceof Error ? thrown.message : thrown), thrown)
}

/** The name of an error; `undefined` for any other value. Never throws. */
export function nameOf(thrown: unknown): string | undefined {
  return isError(thrown) ? textOf(() => thrown.name, 'Error') : undefined
}

/**
 * The value itself, or an Error in its place where even asking what it is throws (a revoked Proxy, one whose traps throw): what core
 * passes on can be told apart by whoever gets it.
 */
export function inspectable(thrown: unknown): unknown {
  if (typeof thrown !== 'object' && typeof thrown !== 'function') return thrown
  if (thrown === null) return thrown
  try {
    // What `instanceof` asks, and what `in` does.
    Object.getPrototypeOf(thrown)
    Reflect.has(thrown, STREAM_ERROR)
    return thrown
  } catch {
    return new Error(messageOf(thrown))
  }
}

function isError(value: unknown): value is Error {
  try {
    return value instanceof Error
  } catch {
    return false
  }
}

function textOf(read: () => unknown, thrown: unknown): string {
  try {
    return String(read())
  } catch {
    return `${thrown === null ? 'null' : typeof thrown} that can't be shown as text`
  }
}
