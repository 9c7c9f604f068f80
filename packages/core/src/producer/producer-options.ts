import { type AnyCodec, type CodecName, checkCodec } from '../codec.js'
import { type OptionInput, type OptionValues, option } from '../options/fields.js'
import { checkMiddleware } from '../options/middleware.js'
import { checkSchema, type Schema } from '../schema.js'
import { type TopicOptions, topicFields } from '../transport/topic-options.js'
import type { SendMiddleware } from './send-middleware.js'

/** Options of every producer, on every transport. */
export const producerFields = {
  ...topicFields,
  /**
   * How values are encoded: `json`, `bytes`, `text` or a custom codec.
   * @default 'json'
   */
  codec: option.custom<CodecName | AnyCodec>('codec', checkCodec, { default: 'json' }),
  /** A Standard Schema validator that each value must pass before it is sent. */
  schema: option.custom<Schema>('Standard Schema', checkSchema),
  /**
   * Functions around each send, the first one outermost, inside the transport's own: `(outgoing, next) => next()`.
   * @default []
   */
  middleware: option.custom<readonly SendMiddleware[]>('list of functions', checkMiddleware<SendMiddleware>, {
    default: [],
  }),
  /**
   * Maximum time from `send` to its outcome, including waits for room and outages, in milliseconds. Then it rejects
   * with TIMEOUT (RESOURCE_EXHAUSTED if it never got room).
   * @default 30000 (30 s)
   */
  sendTimeoutMs: option.integer({ default: 30_000, min: 1 }),
  /**
   * Maximum time for the transport to accept one batch, in milliseconds; then the connection counts as dead and is
   * replaced.
   * @default 15000 (15 s)
   */
  publishTimeoutMs: option.integer({ default: 15_000, min: 10 }),
  /**
   * How long a record may wait for others to share its batch, in milliseconds. 0 sends what the current turn of the
   * event loop has gathered.
   * @default 0
   */
  lingerMs: option.integer({ default: 0, min: 0, max: 60_000 }),
  /**
   * Maximum number of records in a batch.
   * @default 500
   */
  maxBatchRecords: option.integer({ default: 500, min: 1, max: 100_000 }),
  /**
   * Maximum size of a batch, in bytes, keys and headers included. A single larger record is sent alone.
   * @default 900000
   */
  maxBatchBytes: option.integer({ default: 900_000, min: 1 }),
  /**
   * Maximum number of records without an outcome; beyond it `send` waits for room.
   * @default 10000
   */
  maxBufferedMessages: option.integer({ default: 10_000, min: 1 }),
  /**
   * Maximum number of bytes without an outcome; beyond it `send` waits for room.
   * @default 67108864 (64 MiB)
   */
  maxBufferedBytes: option.integer({ default: 64 * 1024 * 1024, min: 1 }),
  /**
   * Maximum time for `init` to connect, in milliseconds. Sends don't depend on it: they wait for a connection for up to
   * `sendTimeoutMs`.
   * @default 10000 (10 s)
   */
  connectTimeoutMs: option.integer({ default: 10_000, min: 1 }),
  /**
   * How often an idle connection is checked, in milliseconds, and how long the answer may take. 0 disables.
   * @default 5000 (5 s)
   */
  probeIntervalMs: option.integer({ default: 5_000, min: 0 }),
}

type ProducerFields = typeof producerFields
export type ProducerOptionInput = OptionInput<Omit<ProducerFields, 'middleware' | keyof TopicOptions>> & TopicOptions
export type ProducerOptionValues = OptionValues<ProducerFields>

/** Options of one `send`. */
export interface SendOptions {
  /** Messages with the same key are handled in the order in which they were sent. Default: no order. */
  readonly key?: string
  /** Header values are strings. Names that begin with `streamswitch-` are reserved. */
  readonly headers?: Readonly<Record<string, string>>
  /**
   * Message id, by which resends and duplicates are recognised. Default: a random one, generated before the first
   * attempt.
   */
  readonly id?: string
  /** The partition to send to, instead of the one chosen by the key's hash. */
  readonly partition?: number
  /** Milliseconds since the epoch. Default: now. */
  readonly timestamp?: number
  /** Increasing number for `publishDedupe`, managed by the caller. */
  readonly sequence?: bigint
  /** Overrides the producer's `sendTimeoutMs`. */
  readonly timeoutMs?: number
  /** Stops waiting: rejects with ABORTED. A record that is already in flight may still be stored. */
  readonly signal?: AbortSignal
}
