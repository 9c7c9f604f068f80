/** What went wrong, in the vocabulary that the rest of the project uses for its error codes. */
export type BrokerErrorCode =
  /** A program, a folder or a broker that is needed does not exist. */
  | 'NOT_FOUND'
  /** A port or a data folder belongs to somebody else. */
  | 'CONFLICT'
  /** A deadline passed. */
  | 'TIMEOUT'
  /** A package source or a broker can't be reached, or a process ended although it should run. */
  | 'UNAVAILABLE'
  /** An argument, an option or an environment variable has a value that can't be used. */
  | 'INVALID_ARGUMENT'

/** An error of the broker launcher; its message says what to do about it. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: BrokerErrorCode

  constructor(code: BrokerErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
