import type { SendReceipt } from './pending-record.js'
import type { SendOptions } from './producer-options.js'

/** A value about to be sent. */
export interface OutgoingMessage<T = unknown> {
  readonly topic: string
  /** `undefined` is a tombstone. */
  readonly value: T
  readonly options: SendOptions
}

/**
 * A function around each send, and each entry of a `sendBatch`: runs code before `next()`, after it, or instead of it.
 * `next(changed)` sends the given `value` and `options`, by default the original message; it resolves with the receipt
 * and rejects as `send` does. What the middleware returns or throws is the send's outcome. A second call of `next()`
 * rejects with CONFLICT.
 * Messages are sent in the order of the `send` calls, however long a middleware takes for one of them. A middleware may
 * send messages, also through the same producer: before `next()`, they are sent first.
 */
export type SendMiddleware<T = unknown> = (
  outgoing: OutgoingMessage<T>,
  next: (changed?: Pick<OutgoingMessage<T>, 'value' | 'options'>) => Promise<SendReceipt>,
) => SendReceipt | Promise<SendReceipt>
