import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  ProducerSpec,
  PublishBatch,
  TopicSpec,
} from '@streamswitch/core/driver'
import type { ConfirmChannel } from 'amqplib'
import type { AmqpConnection } from './connection.js'
import { routingKeyTooLong, unroutable } from './errors.js'
import { checkExistingQueue } from './existing-queue.js'
import { partitionOf } from './hash.js'
import { groupNames, groupPart, topicNames } from './names.js'
import { type AmqpProducerSettings, isQueue, isRoutingKey } from './options.js'
import { Publisher, type PublisherSettings } from './publisher.js'
import { commonOf, type Shared } from './shared.js'
import type { Lease } from './shared-connection.js'
import { provisionTopic } from './topology.js'

/** What every broker takes, unless its `max_message_size` was lowered: the default of RabbitMQ 4, in bytes. */
const BROKER_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

/** Every queue is bound to it by its name (AMQP 0-9-1, section 3.1.3.1). */
const DEFAULT_EXCHANGE = ''

/** Publishes one topic's records on a confirm channel of the connection that all producers of the transport share. */
export class AmqpProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches = 2
  /** The publisher watches each batch itself: its clock stands still while the broker blocks publishers. */
  readonly publishTimeoutMs = Number.POSITIVE_INFINITY
  readonly #shared: Shared
  readonly #spec: ProducerSpec<AmqpProducerSettings>
  readonly #sink: ProducerSink
  #lease: Lease | undefined
  #channel: ConfirmChannel | undefined
  #publisher: Publisher | undefined
  #partitions = 1
  #turn = 0
  #lost = false
  #closing: Promise<void> | undefined
  #unlisten: (() => void) | undefined

  constructor(shared: Shared, spec: ProducerSpec<AmqpProducerSettings>, sink: ProducerSink) {
    this.#shared = shared
    this.#spec = spec
    this.#sink = sink
  }

  get waitingFor(): string {
    return this.#lease === undefined ? 'the broker to accept the connection' : 'the topic'
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { publishing, logger, settings } = this.#shared
    const { topic } = this.#spec
    const lease = await publishing.acquire(signal)
    this.#lease = lease
    const { connection } = lease
    this.#partitions = await this.#provision(connection)
    signal.throwIfAborted()
    const channel = await connection.openConfirmChannel((error) => this.#channelClosed(error))
    this.#channel = channel
    const publisher = new Publisher(channel, {
      topic: topic.topic,
      ...this.#address(),
      maxUnconfirmed: settings.maxUnconfirmed,
      confirmTimeoutMs: settings.callTimeoutMs,
      contentType: this.#spec.contentType,
      maxFrameBytes: connection.maxFrameBytes,
      unroutable: () => unroutable(topic.topic),
      keyed: true,
      keepsUnrouted: topic.role === 'dead-letters',
      setsAside: topic.role === 'dead-letters',
      lost: (error) => this.#lose(error),
    })
    this.#publisher = publisher
    publisher.block(connection.blocked)
    this.#unlisten = connection.listen({
      blocked: (blocked) => {
        logger.warn(
          `the broker ${blocked ? 'blocks publishers: it is short of memory or disk space' : 'accepts messages again'}`,
        )
        publisher.block(blocked)
      },
      lost: (error) => this.#channelClosed(error),
    })
    const { maxPayloadBytes } = settings
    return {
      partitions: this.#partitions,
      maxPayloadBytes:
        topic.role === 'dead-letters' ? Math.max(maxPayloadBytes, BROKER_MAX_MESSAGE_SIZE) : maxPayloadBytes,
    }
  }

  laneOf(record: OutgoingRecord): number {
    if (record.partition !== undefined) return record.partition
    if (this.#partitions === 1) return 0
    if (record.key !== undefined) return partitionOf(record.key, this.#partitions)
    this.#turn = (this.#turn + 1) % this.#partitions
    return this.#turn
  }

  publish(batch: PublishBatch): Promise<void> {
    return this.#publisher?.publish(batch) ?? Promise.resolve()
  }

  async probe(): Promise<void> {
    const { connection } = this.#lease as Lease
    // While it blocks publishers the broker reads nothing, probes neither.
    if (connection.blocked || this.#channel === undefined) return
    const { topic } = this.#spec
    const checking = isQueue(this.#shared.settings, topic)
      ? this.#channel.checkQueue(topic.brokerTopic)
      : this.#channel.checkExchange(topicNames(topic.brokerTopic).exchange)
    await connection.call<unknown>('probe', checking)
  }

  async #provision(connection: AmqpConnection): Promise<number> {
    const { settings, logger } = this.#shared
    const { topic } = this.#spec
    const { registry, shared } = commonOf(this.#shared, topic)
    if (!isQueue(settings, topic)) return provisionTopic({ connection, registry, shared, logger }, topic)
    await checkExistingQueue(connection, topic)
    return 1
  }

  /** Where records go. Topics of ours are routed by partition. */
  #address(): Pick<PublisherSettings, 'exchange' | 'routingKeyOf'> {
    const { topic, options, onlyGroup } = this.#spec
    const exchange = topicNames(topic.brokerTopic).exchange
    if (!topic.native) return { exchange }
    if (isQueue(this.#shared.settings, topic))
      return { exchange: DEFAULT_EXCHANGE, routingKeyOf: () => topic.brokerTopic }
    if (onlyGroup !== undefined) {
      // Past the exchange, which would give it to everybody.
      const part = groupPart(topic, onlyGroup.brokerGroup, this.#shared.prefix)
      const queue = groupNames(topic, part).queue(0)
      return { exchange: DEFAULT_EXCHANGE, routingKeyOf: () => queue }
    }
    return { exchange, routingKeyOf: ({ key = '' }) => requireRoutingKey(options.routingKey ?? key, topic) }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.#unlisten?.()
    this.#publisher?.end(new Error('channel closed'))
    const lease = this.#lease
    if (lease === undefined) return
    const { connection } = lease
    if (this.#channel !== undefined && !connection.gone && !connection.blocked && !this.#lost)
      await connection.call('close a channel', this.#channel.close()).catch(() => {})
    await lease.release()
  }

  #channelClosed(error: unknown): void {
    this.#publisher?.end(error)
    this.#lose(error)
  }

  #lose(error: unknown): void {
    if (this.#lost || this.#closing !== undefined) return
    this.#lost = true
    this.#sink.lost(error)
  }
}

function requireRoutingKey(key: string, topic: TopicSpec): string {
  if (isRoutingKey(key)) return key
  throw routingKeyTooLong(topic.topic)
}
