import { printable } from './printable.js'

/** Error codes, the same on every transport. `docs/runbook.md` explains each. */
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

/** Codes whose cause is usually transient, so that the same call may succeed later. */
const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'TIMEOUT', 'RESOURCE_EXHAUSTED', 'UNKNOWN'])

const STREAM_ERROR = Symbol.for('streamswitch.StreamError')
const BATCH_ERROR = Symbol.for('streamswitch.BatchError')

export interface StreamErrorOptions {
  /** What kind of error it is. */
  readonly code: ErrorCode
  /**
   * Whether the same call may succeed later. Default: by code (true for UNAVAILABLE, TIMEOUT, RESOURCE_EXHAUSTED,
   * UNKNOWN).
   */
  readonly retryable?: boolean | undefined
  /** Name of the adapter, where one is concerned. */
  readonly transport?: string | undefined
  /** The operation that failed: `send`, `open`, `ack`, … */
  readonly operation?: string | undefined
  /** The topic that is concerned, by its portable name. */
  readonly topic?: string | undefined
  /**
   * How long the other side asked to wait before the next attempt, in milliseconds (for example an HTTP Retry-After).
   */
  readonly retryAfterMs?: number | undefined
  /** The error that led to this one. */
  readonly cause?: unknown
  /** The individual problems, each on its own line below the message. */
  readonly points?: readonly string[] | undefined
}

/**
 * The only error that Streamswitch throws, rejects with and emits. Recognise it with {@link isStreamError} or
 * `instanceof`: both also accept errors of another installed copy of this package. Control characters in the message,
 * which may quote external input, are escaped.
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
  /** Index in the list given to `sendBatch`. */
  readonly index: number
  readonly error: StreamError
}

/** Rejection of `sendBatch`: lists each record that failed. Records that are not listed were accepted. */
export class BatchError extends StreamError {
  override readonly name: string = 'BatchError'
  readonly failures: readonly BatchFailure[]
  /** Number of records in the call. */
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

/** Wraps any thrown value in a {@link StreamError}; returns one unchanged. */
export function toStreamError(value: unknown, fallback: StreamErrorOptions): StreamError {
  if (isStreamError(value)) return value
  return new StreamError(messageOf(value), { cause: value, ...fallback })
}

/** Describes any thrown value in one line. Never throws. */
export function describe(error: unknown): string {
  if (isStreamError(error)) return `${error.code}: ${messageOf(error)}`
  return isError(error) ? `${nameOf(error)}: ${messageOf(error)}` : messageOf(error)
}

/**
 * Returns the message of an error, or any other value as a string. Never throws: a value that can't be shown is
 * described.
 */
export function messageOf(thrown: unknown): string {
  return textOf(() => (thrown instanceof Error ? thrown.message : thrown), thrown)
}

/** Returns the name of an error; `undefined` for any other value. Never throws. */
export function nameOf(thrown: unknown): string | undefined {
  return isError(thrown) ? textOf(() => thrown.name, 'Error') : undefined
}

/**
 * Returns the value, or an Error instead if inspecting it throws (a revoked Proxy, one whose traps throw): values that
 * core passes on can be inspected safely.
 */
export function inspectable(thrown: unknown): unknown {
  if (typeof thrown !== 'object' && typeof thrown !== 'function') return thrown
  if (thrown === null) return thrown
  try {
    // What `instanceof` does, and what `in` does.
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
    return `${thrown === null ? 'null' : typeof thrown} that can't be shown as a string`
  }
}
