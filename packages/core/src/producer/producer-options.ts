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
   * How values become bytes: `json`, `bytes`, `text` or a codec of your own.
   * @default 'json'
   */
  codec: option.custom<CodecName | AnyCodec>('codec', checkCodec, { default: 'json' }),
  /** A Standard Schema validator that each value must pass before it is sent. */
  schema: option.custom<Schema>('Standard Schema', checkSchema),
  /**
   * Stands around each send, the first one outermost, within the transport's own: `(outgoing, next) => next()`.
   * @default []
   */
  middleware: option.custom<readonly SendMiddleware[]>('list of functions', checkMiddleware<SendMiddleware>, {
    default: [],
  }),
  /**
   * Longest time from `send` to its outcome, waiting for room and outages included, in milliseconds. Then it rejects with TIMEOUT (RESOURCE_EXHAUSTED if it never got room).
   * @default 30000 (30 s)
   */
  sendTimeoutMs: option.integer({ default: 30_000, min: 1 }),
  /**
   * Longest time the transport may take to accept one batch, in milliseconds; then the connection counts as dead and is replaced.
   * @default 15000 (15 s)
   */
  publishTimeoutMs: option.integer({ default: 15_000, min: 10 }),
  /**
   * How long a record may wait for others to share its batch, in milliseconds. 0 sends what the present turn of the event loop has gathered.
   * @default 0
   */
  lingerMs: option.integer({ default: 0, min: 0, max: 60_000 }),
  /**
   * Most records of one batch.
   * @default 500
   */
  maxBatchRecords: option.integer({ default: 500, min: 1, max: 100_000 }),
  /**
   * Most bytes of one batch, keys and headers included. A single larger record travels alone.
   * @default 900000
   */
  maxBatchBytes: option.integer({ default: 900_000, min: 1 }),
  /**
   * Most records without an outcome; `send` waits for room beyond it.
   * @default 10000
   */
  maxBufferedMessages: option.integer({ default: 10_000, min: 1 }),
  /**
   * Most bytes without an outcome; `send` waits for room beyond it.
   * @default 67108864 (64 MiB)
   */
  maxBufferedBytes: option.integer({ default: 64 * 1024 * 1024, min: 1 }),
  /**
   * Maximum time for `init` to connect, in milliseconds. Sends don't depend on it: they wait for the first connection and for later ones for up to `sendTimeoutMs`.
   * @default 10000 (10 s)
   */
  connectTimeoutMs: option.integer({ default: 10_000, min: 1 }),
  /**
   * How often an idle connection is checked, in milliseconds, and how long the answer may take. 0 never.
   * @default 5000 (5 s)
   */
  probeIntervalMs: option.integer({ default: 5_000, min: 0 }),
}

type ProducerFields = typeof producerFields
export type ProducerOptionInput = OptionInput<Omit<ProducerFields, 'middleware' | keyof TopicOptions>> & TopicOptions
export type ProducerOptionValues = OptionValues<ProducerFields>

/** Options of one `send`. */
export interface SendOptions {
  /** Messages with the same key are handled in the order of sending. Left out: no order. */
  readonly key?: string
  /** Texts only. Names that begin with `streamswitch-` are reserved. */
  readonly headers?: Readonly<Record<string, string>>
  /** Recognises resends and duplicates. Left out: a random one is made, before the first attempt. */
  readonly id?: string
  /** Chooses the partition in place of the key's hash. */
  readonly partition?: number
  /** Milliseconds since the epoch. Left out: now. */
  readonly timestamp?: number
  /** For `publishDedupe`: the caller's own increasing number. */
  readonly sequence?: bigint
  /** In place of the producer's `sendTimeoutMs`. */
  readonly timeoutMs?: number
  /** Stops waiting: rejects with ABORTED. A record that is in flight already may be stored all the same. */
  readonly signal?: AbortSignal
}
