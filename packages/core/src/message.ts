/** Headers as users see them: strings only. A foreign client's binary header is in `message.native`. */
export type Headers = Readonly<Record<string, string>>

/**
 * A message as a handler gets it.
 *
 * @typeParam T - the decoded value; `undefined` is a tombstone (a record with a key and no payload).
 */
export interface Message<T = unknown> {
  /** Set by the sender before its first attempt, the same in every resend and redelivery. A foreign message without one gets `topic/partition/offset`. */
  readonly id: string
  /** Without the `prefix` that is in force. */
  readonly topic: string
  /** Messages with the same key are handled one after the other; `undefined` is its own key. */
  readonly key: string | undefined
  readonly value: T
  /** The value as it was on the wire; `undefined` for a tombstone. */
  readonly bytes: Buffer | undefined
  readonly headers: Headers
  /** When it was sent, in milliseconds since the epoch; for a foreign message without one, when the broker or this process received it. */
  readonly timestamp: number
  /** Counts handler starts of this message in this group, from 1. */
  readonly attempt: number
  readonly partition: number
  /** The transport's own position, as text: comparable for equality, and accepted by `seek` and `from`. */
  readonly offset: string
  /** Where the sender waits for replies; `undefined` when it doesn't. */
  readonly replyTo: string | undefined
  /** Rises with each assignment of the partition: a fencing token for the user's own store. */
  readonly epoch: number
  /** Aborted when the handler exceeds `handlerTimeoutMs`, when its partition is taken away, or when a close runs out of time. */
  readonly signal: AbortSignal
  /** The record as the driver gave it. Differs from transport to transport. */
  readonly native: unknown
  /**
   * Settles the message as done. Needed with `ack: 'manual'` only; may be called more than once.
   * A rejection that nobody awaits is no unhandled rejection: the failure is an `error` event of the loop in any case, once per partition that
   * was taken away. The same holds for `nack` and `respond`.
   *
   * Resolves when the transport has taken it; where positions are committed (Kafka, RabbitMQ Streams), that is when all before it in
   * its partition are done. A handler that waits for it doesn't count for `concurrency` meanwhile. Rejects with ABORTED when the partition was taken away in between
   * (the message will be handled again), with CONFLICT after `nack`.
   */
  ack(): Promise<void>
  /**
   * Gives the message back as failed: it is retried with backoff, then dead-lettered, like a handler that throws.
   * Rejects with CONFLICT after `ack`.
   */
  nack(reason?: unknown): Promise<void>
  /**
   * Sends a part of the reply, any number of times while the handler runs; the end follows by itself when it resolves. Resolves when the
   * transport has taken the part. Once a part was sent, a handler that fails is not tried again: the reply ends with its error.
   *
   * Does nothing, apart from a debug log line, when no reply was requested (`replyTo` is `undefined`) or the loop doesn't answer (`replies: false`).
   *
   * Rejects with INVALID_ARGUMENT for `undefined`; with SERIALIZATION; with CONFLICT after the handler's end; with NOT_FOUND when the caller is known to be gone; and as `send` does.
   *
   * Rejects with UNSUPPORTED where the reply address is another system's and the transport can't answer there.
   */
  respond(part: unknown): Promise<void>
}

/**
 * What a handler may do with a message. It is acked once this returns or resolves, and retried when it throws or rejects. What it returns
 * is the reply, where one is asked for (`undefined`: none). A generator (`async function*`) has succeeded once it has ended and everything
 * that it yielded was confirmed; to a request, what it yields are the parts of the reply, and to any other message without `to` it is dropped.
 */
export type Handler<T = unknown> = (message: Message<T>) => unknown

/** A handler with state of its own: an instance of a class, or a plain object. */
export interface Listener<T = unknown> {
  /** Called for each message, as a {@link Handler} is. */
  consume(message: Message<T>): unknown
  /**
   * Called once when the loop closes, after the last handler has ended and its acks were sent, while producers are still open.
   * Gets what is left of the close's time, 500 ms at least. A failure is an `error` event of the loop.
   */
  flush?(): unknown
}
