import { StreamError, type StreamErrorOptions } from '../errors.js'

/**
 * Why a message can't be handled at the moment, for an external reason: it is started again later, and no attempt is
 * counted.
 */
export class Postponement extends StreamError {
  /** retryAfterMs`: maximum useful wait, in milliseconds. */
  constructor(message: string, options: StreamErrorOptions & { readonly retryAfterMs: number }) {
    super(message, { retryable: true, ...options })
  }
}
