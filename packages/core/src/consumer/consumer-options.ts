import { type AnyCodec, type Codec, type CodecName, checkCodec } from '../codec.js'
import type { PartitionPositions, StartPosition } from '../contract/consumer-driver.js'
import { type DedupeOptions, dedupeFields } from '../dedupe/dedupe-options.js'
import type { OptionsByAdapter } from '../options/adapter-options.js'
import { isPlainObject, type OptionInput, type OptionValues, option } from '../options/fields.js'
import { checkMiddleware } from '../options/middleware.js'
import { checkSchema, type Schema } from '../schema.js'
import { type TopicOptions, topicFields } from '../transport/topic-options.js'
import type { Transport } from '../transport/transport.js'
import type { HandlerMiddleware } from './handler-middleware.js'
import { type AssignedHook, checkHook, type RevokedHook } from './partition-hooks.js'
import { checkRetryRule, isWorthRetrying, type RetryRule } from './retry-test.js'
import { checkStart, type PartitionPositionsInput } from './start-positions.js'

/** Options of every loop, on every transport. */
export const consumerFields = {
  ...topicFields,
  /** Consumer group. Members of a group share the messages; every group receives all of them. */
  group: option.text(),
  /** Name of the group on the broker, without prefix. Takes precedence over the transport's `groups`. */
  nativeGroup: option.text(),
  /** Member name reported to the broker; unique within the group. Default: generated. */
  memberName: option.text(),
  /**
   * How bytes are decoded: `json`, `bytes`, `text` or a custom codec. Messages that can't be decoded are dead-lettered
   * without a retry.
   * @default 'json'
   */
  codec: option.custom<CodecName | AnyCodec>('codec', checkCodec, { default: 'json' }),
  /** A Standard Schema validator that each value must pass. Messages that fail it are dead-lettered without a retry. */
  schema: option.custom<Schema>('Standard Schema', checkSchema),
  /**
   * Whether handlers answer requests. Set `false` for a group that only listens while another group answers.
   * @default true
   */
  replies: option.flag({ default: true }),
  /**
   * How parts of replies are encoded: `json`, `bytes`, `text` or a custom codec.
   * @default 'json'
   */
  replyCodec: option.custom<CodecName | AnyCodec>('codec', checkCodec, { default: 'json' }),
  /**
   * Maximum number of handlers running concurrently. Messages of one key never overlap.
   * @default 10
   */
  concurrency: option.integer({ default: 10, min: 1, max: 100_000 }),
  /**
   * key`: messages of a key are handled in the order in which they were sent, across all members. `none`: in any order,
   * for throughput.
   * @default 'key'
   */
  ordering: option.choice(['key', 'none'], { default: 'key' }),
  /**
   * auto`: acked when the handler has resolved. `manual`: acked when `message.ack()` is called.
   * @default 'auto'
   */
  ack: option.choice(['auto', 'manual'], { default: 'auto' }),
  /**
   * Where a new group starts: `earliest`, `latest`, `{ offset }`, `{ timestamp }`, or one of them per partition, as a
   * list or `{ partitions: { 0: … } }`. Default: `earliest` where the transport keeps history. A group with a committed
   * offset resumes there, with a warning.
   */
  from: option.custom<StartPosition | PartitionPositions>('start position', checkStart),
  /**
   * Where to resume when the requested offset is not (or no longer) in the partition: `earliest` or `latest`, or `stop`
   * to end the loop with NOT_FOUND. Reported as an error event in any case.
   * @default 'earliest'
   */
  outOfRange: option.choice(['earliest', 'latest', 'stop'], { default: 'earliest' }),
  /**
   * Functions around the handler, the first one outermost, inside the transport's own: `(message, next) => next()`.
   * @default []
   */
  middleware: option.custom<readonly HandlerMiddleware[]>('list of functions', checkMiddleware<HandlerMiddleware>, {
    default: [],
  }),
  /** Called when partitions are assigned, and awaited before their first message is handled. An error ends the loop. */
  onAssigned: option.custom<AssignedHook>('function', checkHook<AssignedHook>),
  /**
   * Called when partitions are revoked: after their handlers have ended, and awaited before the partitions are
   * released, within the time available (`graceful`); or when they are `lost`. Also called on `close`.
   */
  onRevoked: option.custom<RevokedHook>('function', checkHook<RevokedHook>),
  /**
   * Maximum time for one handler, in milliseconds. Then `message.signal` aborts and the attempt has failed.
   * @default 300000 (5 min)
   */
  handlerTimeoutMs: option.integer({ default: 300_000, min: 1, max: 2_147_483_647 }),
  /**
   * How long a timed-out handler may take to end, in milliseconds. If it has still not returned, the loop abandons it
   * (its result is ignored) and applies `errorPolicy`.
   * @default 5000 (5 s)
   */
  handlerGraceMs: option.integer({ default: 5_000, min: 0, max: 2_147_483_647 }),
  /**
   * With `ack: 'manual'`: how long a message may wait for `ack()` or `nack()` after its handler has returned, in
   * milliseconds, before an `unacked` event and the health report show it. 0 disables. Default: `handlerTimeoutMs`.
   */
  unackedTimeoutMs: option.integer({ min: 0, max: 2_147_483_647 }),
  /** How a failed message is retried; only its key waits. */
  retry: option.group({
    /**
     * Maximum number of handler starts per message, including the first.
     * @default 5
     */
    attempts: option.integer({ default: 5, min: 1, max: 1_000_000 }),
    /**
     * Wait before the first retry, in milliseconds. No wait is shorter. Must not exceed `maxDelayMs`.
     * @default 100
     */
    minDelayMs: option.integer({ default: 100, min: 0 }),
    /**
     * Maximum wait, in milliseconds, jitter included: each wait is up to 25 % shorter or longer than the plain
     * exponential one.
     * @default 30000 (30 s)
     */
    maxDelayMs: option.integer({ default: 30_000, min: 0 }),
    /**
     * Factor by which the wait grows with each attempt.
     * @default 2
     */
    factor: option.decimal({ default: 2, min: 1 }),
    /**
     * Which errors are retried: a function of the error, or a list of codes (`error.code`) and classes. Default: all
     * except a `StreamError` whose code says that the same call can't succeed later.
     */
    when: option.custom<RetryRule>('function, or list of codes and classes', checkRetryRule, {
      default: isWorthRetrying,
    }),
  }),
  /**
   * Where messages go whose attempts are used up: `true` for `<topic>.<group>.dlq`, `{ topic }`, or `false` to apply
   * `errorPolicy`.
   */
  deadLetter: option.custom<boolean | { readonly topic: string }>('true, false or { topic }', checkDeadLetter),
  /** Handles each message id once per group, however often it is sent or redelivered. Default: at least once. */
  dedupe: option.group(dedupeFields),
  /**
   * What happens when a message can't be handled and dead letters are disabled, or when a handler ignores its timeout.
   * `stop`: the loop ends with the error, other loops continue. `restart`: exactly this message is skipped, after a
   * backoff. `stop-runner`, `stop-application`: as `stop`, and the `ConsumerRunner` that runs the loop stops all its
   * loops, or the whole process.
   * @default 'stop'
   */
  errorPolicy: option.choice(['stop', 'restart', 'stop-runner', 'stop-application'], { default: 'stop' }),
  /**
   * Maximum number of messages waiting in this process, per partition.
   * @default 1000
   */
  prefetch: option.integer({ default: 1_000, min: 1 }),
  /**
   * Maximum number of unsettled messages per partition while one key blocks the others; it bounds the duplicates after
   * a crash.
   * @default 10000
   */
  maxAheadMessages: option.integer({ default: 10_000, min: 1 }),
  /**
   * Maximum number of bytes waiting in this process.
   * @default 67108864 (64 MiB)
   */
  maxInboxBytes: option.integer({ default: 64 * 1024 * 1024, min: 1 }),
  /**
   * With a pattern: how often to look for created and deleted topics, in milliseconds. A new topic is joined within
   * this time plus the time to join.
   * @default 5000 (5 s)
   */
  topicRefreshMs: option.integer({ default: 5_000, min: 50, max: 3_600_000 }),
  /**
   * Maximum time for `init` and `run` to connect and join for the first time, in milliseconds. Later reconnecting
   * continues for as long as the loop runs.
   * @default 10000 (10 s)
   */
  connectTimeoutMs: option.integer({ default: 10_000, min: 1 }),
  /**
   * How often the connection is checked, in milliseconds, and how long the answer may take. 0 disables.
   * @default 5000 (5 s)
   */
  probeIntervalMs: option.integer({ default: 5_000, min: 0 }),
  /**
   * Reconnect when the broker reports a backlog but delivers nothing for this long, in milliseconds, although there is
   * room. 0 disables.
   * @default 30000 (30 s)
   */
  stallTimeoutMs: option.integer({ default: 30_000, min: 0, max: 2_147_483_647 }),
}

type ConsumerFields = typeof consumerFields
export type ConsumerOptionValues = OptionValues<ConsumerFields>

/**
 * Options of a loop. Adapter options are under the adapter's name: `{ redis: { … } }`; options for other adapters are
 * ignored, so that you can prepare a switch.
 */
export interface ConsumerSettings<T = unknown>
  extends OptionInput<Omit<ConsumerFields, 'group' | 'middleware' | 'from' | 'dedupe' | keyof TopicOptions>>,
    TopicOptions,
    OptionsByAdapter<'consumer'> {
  /** Members with the same group share the messages; every group gets all of them. */
  readonly group: string
  /** Where a new group starts: `earliest`, `latest`, `{ offset }`, `{ timestamp }`, or one of them per partition, as a list or `{ partitions: { 0: … } }`. Left out: `earliest` where the transport keeps history. A group that has a position goes on there, with a warning. */
  readonly from?: StartPosition | PartitionPositionsInput | undefined
  /**
   * Stands around the handler, the first one outermost, within the transport's own: `(message, next) => next()`.
   * @default []
   */
  readonly middleware?: readonly HandlerMiddleware<T>[] | undefined
  /**
   * How bytes become values: `json`, `bytes`, `text` or a codec of your own. What can't be decoded goes to the dead letters at once.
   * @default 'json'
   */
  readonly codec?: CodecName | Codec<T> | undefined
  /** A Standard Schema validator that each value must pass. What doesn't goes to the dead letters at once. */
  readonly schema?: Schema<T> | undefined
  /** Handles each message id once per group, however often it is sent or redelivered. Left out: at least once. */
  readonly dedupe?: DedupeOptions | undefined
}

/** Options of a loop that is created by its class. */
export interface ConsumerLoopOptions<T = unknown> extends ConsumerSettings<T> {
  /** The transport to use. Default: the loop opens its own, from the environment, and closes it on `close()`. */
  readonly transport?: Transport
}

function checkDeadLetter(raw: unknown): { readonly value: boolean | { readonly topic: string } } | string {
  if (typeof raw === 'boolean') return { value: raw }
  if (isPlainObject(raw) && typeof raw.topic === 'string' && Object.keys(raw).length === 1)
    return { value: { topic: raw.topic } }
  return 'must be true, false or { topic }'
}
