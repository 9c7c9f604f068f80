import { StreamError, type StreamErrorOptions } from '../errors.js'

/** Why a message can't be handled just now, through no fault of its own: it is started again later, and no attempt is charged. */
export class Postponement extends StreamError {
  /** `retryAfterMs`: the longest that is worth waiting, in milliseconds. */
  constructor(message: string, options: StreamErrorOptions & { readonly retryAfterMs: number }) {
    super(message, { retryable: true, ...options })
  }
}
