import type { SendReceipt } from './pending-record.js'
import type { SendOptions } from './producer-options.js'

/** A value on its way to be sent. */
export interface OutgoingMessage<T = unknown> {
  readonly topic: string
  /** `undefined` is a tombstone. */
  readonly value: T
  readonly options: SendOptions
}

/**
 * Stands around each send, and each entry of a `sendBatch`: works before `next()`, after it, or in its place. `next(changed)` sends
 * `value` and `options` of what it is given, by default the message as it came; it resolves with the receipt and rejects as `send` does. What
 * the middleware returns or throws is the send's outcome. A second call of `next()` rejects with CONFLICT.
 *
 * Messages go out in the order of the `send` calls, however long a middleware takes for one of them. It may send by itself, also
 * through the same producer: before `next()`, that goes out first.
 */
export type SendMiddleware<T = unknown> = (
  outgoing: OutgoingMessage<T>,
  next: (changed?: Pick<OutgoingMessage<T>, 'value' | 'options'>) => Promise<SendReceipt>,
) => SendReceipt | Promise<SendReceipt>
