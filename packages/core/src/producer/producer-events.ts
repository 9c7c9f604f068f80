import type { StreamError } from '../errors.js'

export interface ProducerEvents {
  /** Connected: for the first time, or `again`. */
  ready: { readonly again: boolean }
  /** The connection was lost; the producer is reconnecting. Unconfirmed records will be sent again. */
  reconnecting: { readonly error: StreamError }
  error: StreamError
}

/** Statistics of a producer. Counters start at 0 with the producer. */
export interface ProducerStats {
  readonly sent: number
  readonly accepted: number
  readonly failed: number
  /** Records passed to a driver again after a failure. */
  readonly resent: number
  /** Records without an outcome, and their size in bytes. */
  readonly buffered: number
  readonly bufferedBytes: number
  /** Records that wait for room in the buffer. */
  readonly waiting: number
  readonly reconnects: number
  readonly connected: boolean
}
