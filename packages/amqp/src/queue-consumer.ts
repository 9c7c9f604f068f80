import {
  type CapabilityName,
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  OFFICIAL_ADAPTERS,
  type PartitionAssignment,
  type PartitionLag,
  StreamError,
  type TopicSpec,
  topicLabel,
} from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'
import { MAX_PREFETCH } from './consumer.js'
import { classifyError, notConnected, replyCodeOf } from './errors.js'
import { checkExistingQueue } from './existing-queue.js'
import type { AmqpConsumerSettings } from './options.js'
import { PartitionConsumer } from './partition-consumer.js'
import type { Shared } from './shared.js'
import { UnrecordedDeliveries } from './unrecorded-deliveries.js'

/** Where loops over queues of others differ from those of the transport's own topics. */
const KEPT = OFFICIAL_ADAPTERS.find(({ name }) => name === 'amqp')?.existingQueue

/** All consumers of a queue of others are equal. */
const PRIORITY = 0

/**
 * Throws UNSUPPORTED for what a queue of others can't have: it is consumed as it is, by whoever else does, and nothing is kept beside it.
 */
export function checkQueueConsumer(
  { ordering, topics }: ConsumerSpec,
  { exclusive }: AmqpConsumerSettings,
  { requires, isBound }: { readonly requires: readonly CapabilityName[]; readonly isBound: boolean },
): void {
  const spec = topics[0] as TopicSpec
  const refuse = (what: string): never => {
    throw new StreamError(`${topicLabel(spec)} is an existing queue: ${what}`, {
      code: 'UNSUPPORTED',
      transport: 'amqp',
      operation: 'configure',
      topic: spec.topic,
    })
  }
  // Dead letters are read one after the other, by one reader at a time or by several.
  if (ordering === 'key' && !exclusive && spec.role !== 'dead-letters')
    refuse(
      "its other consumers keep no order by key; set ordering: 'none', or amqp: { exclusive: true } if this loop is to be the only consumer",
    )
  if (ordering === 'none' && requires.includes('keyOrder')) refuse("keyOrder is required, and ordering is 'none'")
  const missing = requires.filter((capability) => KEPT?.[capability] === false)
  if (missing.length > 0) refuse(`it has no ${missing.join(', no ')}, which is required`)
  if (isBound) refuse("its bindings are managed by others; don't set bindings")
}

/** Consumes queues of others as they are. What is settled is acked; what isn't goes back when the channel closes. */
export class AmqpQueueDriver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'core'
  readonly settleIntervalMs = 0
  readonly #shared: Shared
  readonly #spec: ConsumerSpec<AmqpConsumerSettings>
  readonly #sink: ConsumerSink
  readonly #consumers = new Map<TopicSpec, PartitionConsumer>()
  #connection: AmqpConnection | undefined
  #lost = false
  #closing: Promise<void> | undefined

  constructor(shared: Shared, spec: ConsumerSpec<AmqpConsumerSettings>, sink: ConsumerSink) {
    this.#shared = shared
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<void> {
    const { connect, clientId } = this.#shared
    const connection = await connect(`${clientId} consumer ${this.#spec.group}`, signal)
    this.#connection = connection
    connection.listen({ lost: (error) => this.#connectionLost(error) })
    for (const topic of this.#spec.topics) {
      await checkExistingQueue(connection, topic)
      signal.throwIfAborted()
      const consumer = this.#consumer(connection, topic)
      this.#consumers.set(topic, consumer)
      await consumer.open(PRIORITY).catch((error: unknown) => {
        throw this.#refusal(topic, error)
      })
      consumer.assign()
    }
    // Core takes acks once it has seen that this is open, and not before.
    setImmediate(() => {
      for (const consumer of this.#consumers.values()) consumer.start()
    })
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#consumerOf(assignment)?.ack(assignment, deliveries)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#consumerOf(assignment)?.release(assignment, deliveries)
  }

  /** What waits in the queues, and what this member holds: the broker doesn't tell what other consumers hold. */
  async lag(): Promise<readonly PartitionLag[]> {
    const connection = this.#connection
    const topic = this.#spec.topics[0]?.topic
    if (connection?.gone !== false) throw notConnected(topic)
    try {
      return await Promise.all(
        [...this.#consumers].map(async ([spec, { unacked }]) => {
          const { messageCount } = await checkExistingQueue(connection, spec)
          return { topic: spec.topic, partition: 0, lag: messageCount + unacked, unacked }
        }),
      )
    } catch (error) {
      throw classifyError(error, 'lag', topic)
    }
  }

  /** Where there are other consumers, what waits may be meant for them. */
  async undelivered(): Promise<ReadonlyMap<PartitionAssignment, number>> {
    const counts = new Map<PartitionAssignment, number>()
    const connection = this.#connection
    if (connection === undefined) return counts
    for (const [spec, { assignment, unacked }] of this.#consumers) {
      if (assignment === undefined) continue
      const { messageCount, consumerCount } = await checkExistingQueue(connection, spec)
      counts.set(assignment, consumerCount === 1 && unacked < this.#prefetch ? messageCount : 0)
    }
    return counts
  }

  async probe(): Promise<void> {
    await this.#connection?.signOfLife(this.#connection.withChannel('probe', async () => {}))
  }

  async stop(): Promise<void> {
    for (const consumer of this.#consumers.values()) consumer.stop()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const connection = this.#connection
    await this.stop()
    if (connection !== undefined && !connection.gone)
      await Promise.all([...this.#consumers.values()].map((consumer) => consumer.end()))
    for (const consumer of this.#consumers.values()) consumer.close()
    await connection?.close()
  }

  get #prefetch(): number {
    return Math.min(this.#spec.prefetch, MAX_PREFETCH)
  }

  #consumer(connection: AmqpConnection, { topic, origin, brokerTopic }: TopicSpec): PartitionConsumer {
    return new PartitionConsumer({
      topic,
      origin,
      partition: 0,
      queue: brokerTopic,
      prefetch: this.#prefetch,
      connection,
      sink: this.#sink,
      epochs: this.#shared.epochs,
      redeliveries: new UnrecordedDeliveries(),
      shared: true,
      exclusive: this.#spec.options.exclusive,
      promoted: () => {},
      interrupted: (_consumer, error) => this.#lose(error),
    })
  }

  /** The queue has other consumers, which may be those of a process that is ending. */
  #refusal(spec: TopicSpec, error: unknown): unknown {
    if (replyCodeOf(error) !== 403 || !/in exclusive use/.test(String(error))) return error
    const what = this.#spec.options.exclusive
      ? 'has other consumers, but exclusive: true requires that it has none'
      : 'has an exclusive consumer'
    return new StreamError(`${topicLabel(spec)} is a queue that ${what}`, {
      code: 'CONFLICT',
      retryable: true,
      transport: 'amqp',
      operation: 'open',
      topic: spec.topic,
      cause: error,
    })
  }

  #consumerOf(assignment: PartitionAssignment): PartitionConsumer | undefined {
    return [...this.#consumers].find(([{ topic }]) => topic === assignment.topic)?.[1]
  }

  #connectionLost(error: unknown): void {
    if (this.#closing !== undefined) return
    for (const consumer of this.#consumers.values()) consumer.connectionLost()
    this.#lose(error)
  }

  #lose(error: unknown): void {
    if (this.#lost || this.#closing !== undefined) return
    this.#lost = true
    this.#sink.lost(error)
  }
}
