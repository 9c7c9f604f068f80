import type { StreamError } from '../errors.js'

export interface ProducerEvents {
  /** The connection is there: for the first time, or `again`. */
  ready: { readonly again: boolean }
  /** The connection is lost. A new one is on its way; what is unconfirmed will be sent again. */
  reconnecting: { readonly error: StreamError }
  error: StreamError
}

/** How a producer is doing. Counters start at 0 with the producer. */
export interface ProducerStats {
  readonly sent: number
  readonly accepted: number
  readonly failed: number
  /** Records that were handed to a driver again after a failure. */
  readonly resent: number
  /** Records that have no outcome yet, and their bytes. */
  readonly buffered: number
  readonly bufferedBytes: number
  /** Records that wait for room in the buffer. */
  readonly waiting: number
  readonly reconnects: number
  readonly connected: boolean
}
