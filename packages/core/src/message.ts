/** Headers as users see them: strings only. A foreign client's binary header is in `message.native`. */
export type Headers = Readonly<Record<string, string>>

/**
 * A message as a handler receives it.
 *
 * @typeParam T - the decoded value; `undefined` is a tombstone (a record with a key and no payload).
 */
export interface Message<T = unknown> {
  /**
   * Set by the sender before its first attempt, the same in every resend and redelivery. A foreign message without an
   * id gets `topic/partition/offset`.
   */
  readonly id: string
  /** The topic's name, without `prefix`. */
  readonly topic: string
  /**
   * Messages with the same key are handled one after the other; messages without a key (`undefined`) share one order.
   */
  readonly key: string | undefined
  readonly value: T
  /** The payload as it was on the wire; `undefined` for a tombstone. */
  readonly bytes: Buffer | undefined
  readonly headers: Headers
  /**
   * When it was sent, in milliseconds since the epoch; for a foreign message without a timestamp, when the broker or
   * this process received it.
   */
  readonly timestamp: number
  /** Counts handler starts of this message in this group, from 1. */
  readonly attempt: number
  readonly partition: number
  /** The transport's own offset, as a string: comparable for equality, and accepted by `seek` and `from`. */
  readonly offset: string
  /** Reply address of the sender; `undefined` when it expects no reply. */
  readonly replyTo: string | undefined
  /** Increases with each assignment of the partition: a fencing token for the user's own store. */
  readonly epoch: number
  /**
   * Aborted when the handler exceeds `handlerTimeoutMs`, when its partition is revoked, or when a close runs out of
   * time.
   */
  readonly signal: AbortSignal
  /** The record as the driver received it. Differs between transports. */
  readonly native: unknown
  /**
   * Settles the message as done. Needed with `ack: 'manual'` only; may be called more than once. If its promise isn't
   * awaited, a rejection is not an unhandled rejection: the failure is an `error` event of the loop in any case, once
   * per revoked partition. The same holds for `nack` and `respond`.
   * Resolves when the transport has confirmed it; where offsets are committed (Kafka, RabbitMQ Streams), that is when
   * all earlier messages of its partition are done. A handler that awaits it doesn't count for `concurrency` meanwhile.
   * Rejects with ABORTED when the partition was revoked in between (the message will be handled again), with CONFLICT
   * after `nack`.
   */
  ack(): Promise<void>
  /**
   * Rejects the message as failed: it is retried with backoff, then dead-lettered, as if the handler had thrown.
   * Rejects with CONFLICT after `ack`.
   */
  nack(reason?: unknown): Promise<void>
  /**
   * Sends a part of the reply, any number of times while the handler runs; the end is sent automatically when it
   * resolves. Resolves when the transport has accepted the part. Once a part was sent, a failing handler is not
   * retried: the reply ends with its error.
   * Does nothing, apart from a debug log line, when no reply was requested (`replyTo` is `undefined`) or the loop
   * doesn't answer (`replies: false`).
   * Rejects with INVALID_ARGUMENT for `undefined`; with SERIALIZATION; with CONFLICT after the handler's end; with
   * NOT_FOUND when the caller is known to be gone; and as `send` does.
   * Rejects with UNSUPPORTED when the reply address belongs to another system and the transport can't answer there.
   */
  respond(part: unknown): Promise<void>
}

/**
 * Handles a message. The message is acked once this returns or resolves, and retried when it throws or rejects. The
 * return value is the reply, if one was requested (`undefined`: none). A generator (`async function*`) has succeeded
 * once it has ended and everything that it yielded was confirmed; for a request, the yielded values are the parts of
 * the reply, and for any other message without `to` they are dropped.
 */
export type Handler<T = unknown> = (message: Message<T>) => unknown

/** A handler with its own state: an instance of a class, or a plain object. */
export interface Listener<T = unknown> {
  /** Called for each message, as a {@link Handler} is. */
  consume(message: Message<T>): unknown
  /**
   * Called once when the loop closes, after the last handler has ended and its acks were sent, while producers are
   * still open. Has the rest of the close's time, at least 500 ms. A failure is an `error` event of the loop.
   */
  flush?(): unknown
}
