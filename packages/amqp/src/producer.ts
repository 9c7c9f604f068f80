import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  ProducerSpec,
  PublishBatch,
} from '@streamswitch/core/driver'
import type { ConfirmChannel } from 'amqplib'
import { partitionOf } from './hash.js'
import { topicNames } from './names.js'
import { Publisher } from './publisher.js'
import type { Lease } from './shared-connection.js'
import { provisionTopic } from './topology.js'
import type { Shared } from './transport.js'

/** What every broker takes, unless its `max_message_size` was lowered: the default of RabbitMQ 4, in bytes. */
const BROKER_MAX_MESSAGE_SIZE = 16 * 1024 * 1024

/** Publishes one topic's records on a confirm channel of the connection that all producers of the transport share. */
export class AmqpProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches = 2
  /** The publisher watches each batch itself: its clock stands still while the broker blocks publishers. */
  readonly publishTimeoutMs = Number.POSITIVE_INFINITY
  readonly #shared: Shared
  readonly #spec: ProducerSpec
  readonly #sink: ProducerSink
  #lease: Lease | undefined
  #channel: ConfirmChannel | undefined
  #publisher: Publisher | undefined
  #partitions = 1
  #turn = 0
  #lost = false
  #closing: Promise<void> | undefined
  #unlisten: (() => void) | undefined

  constructor(shared: Shared, spec: ProducerSpec, sink: ProducerSink) {
    this.#shared = shared
    this.#spec = spec
    this.#sink = sink
  }

  get waitingFor(): string {
    return this.#lease === undefined ? 'the broker to accept the connection' : 'the topic'
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { publishing, registry, shared, logger, settings } = this.#shared
    const { topic } = this.#spec
    const lease = await publishing.acquire(signal)
    this.#lease = lease
    const { connection } = lease
    this.#partitions = await provisionTopic({ connection, registry, shared, logger }, topic)
    signal.throwIfAborted()
    const channel = await connection.openConfirmChannel((error) => this.#channelClosed(error))
    this.#channel = channel
    const publisher = new Publisher(channel, {
      topic: topic.topic,
      exchange: topicNames(topic.brokerTopic).exchange,
      maxUnconfirmed: settings.maxUnconfirmed,
      confirmTimeoutMs: settings.callTimeoutMs,
      contentType: this.#spec.contentType,
      maxFrameBytes: connection.maxFrameBytes,
      keepsUnrouted: topic.role === 'dead-letters',
      lost: (error) => this.#lose(error),
    })
    this.#publisher = publisher
    publisher.block(connection.blocked)
    this.#unlisten = connection.listen({
      blocked: (blocked) => {
        logger.warn(
          `the broker ${blocked ? 'blocks publishers: it is short of memory or disk space' : 'takes messages again'}`,
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
    await connection.call('probe', this.#channel.checkExchange(topicNames(this.#spec.topic.brokerTopic).exchange))
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
