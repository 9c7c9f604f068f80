import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  ProducerSpec,
  PublishBatch,
} from '@streamswitch/core/driver'
import { MetadataRequest } from 'rabbitmq-stream-js-client/dist/requests/metadata_request.js'
import { ResponseCode, ServerError } from './client-patches/server-error.js'
import type { PublishError } from './client-patches/server-frames.js'
import type { StreamClient } from './client-patches/stream-client.js'
import type { StreamConnection } from './client-patches/stream-connection.js'
import { type ConnectionSource, openClient } from './connection.js'
import { publisherTaken } from './errors.js'
import { failUnrouted, findKeyRoutes, type KeyRoutes } from './key-routes.js'
import { partitionOfKey } from './murmur3.js'
import { acquireLock } from './named-lock.js'
import { MAX_PAYLOAD_BYTES, type StreamProducerSettings } from './options.js'
import { PartitionPublisher } from './partition-publisher.js'
import { NamedIds, PassingIds } from './publisher-ids.js'
import { ensureTopic, type Topology, whenAvailable } from './topology.js'

/** The lane of records whose key no partition is bound to. */
const UNROUTED = -1
/** How long a producer waits for one of the same name that is about to end, in milliseconds. */
const NAME_WAIT_MS = 3_000

/** After these, nothing that is published on the connection can be stored. */
const PUBLISHER_GONE: ReadonlySet<number> = new Set([
  ResponseCode.publisherDoesNotExist,
  ResponseCode.streamNotAvailable,
  ResponseCode.streamDoesNotExist,
])

/** Publishes to the partitions of a topic, over one client. */
export class StreamProducerDriver implements ProducerDriver {
  /**
   * Frames of one publisher are stored in the order of writing. What the broker refuses, it refuses because the stream has no
   * leader or the publisher is gone, which holds for every later frame on the connection too.
   */
  readonly maxInFlightBatches = 8
  readonly #source: ConnectionSource
  readonly #spec: ProducerSpec<StreamProducerSettings>
  readonly #sink: ProducerSink
  readonly #publishers: PartitionPublisher[] = []
  /** Set where the topic is routed by key. */
  #routes: KeyRoutes | undefined
  #client: StreamClient | undefined
  #topology: Topology | undefined
  #turn = -1

  constructor(source: ConnectionSource, spec: ProducerSpec<StreamProducerSettings>, sink: ProducerSink) {
    this.#source = source
    this.#spec = spec
    this.#sink = sink
  }

  get waitingFor(): string {
    return this.#client === undefined ? 'the broker to accept the connection' : 'the topic, or for its publishers'
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { topic, options } = this.#spec
    const client = await openClient(this.#source, this.#events(), signal)
    this.#client = client
    const topology = await ensureTopic(client, topic, this.#source, options.bindingKeys)
    this.#topology = topology
    if (options.bindingKeys !== undefined)
      this.#routes = await findKeyRoutes(client, topology, options.bindingKeys, topic.topic)
    const name = options.publisherName
    if (name !== undefined) {
      const held = await whenAvailable(signal, () =>
        acquireLock(client, topology.streams[0] as string, `publisher:${name}`, NAME_WAIT_MS),
      )
      if (held === undefined) throw publisherTaken(topic.topic, name)
    }
    for (const [partition, stream] of topology.streams.entries()) {
      const handle = await whenAvailable(signal, () => client.publisher(stream, name))
      const ids = name === undefined ? new PassingIds() : new NamedIds(topic.topic, handle.lastPublishingId)
      this.#publishers.push(new PartitionPublisher(handle, ids, { ...this.#publisherSettings(), partition }))
    }
    const { maxPayloadBytes } = this.#source.settings
    return {
      partitions: topology.streams.length,
      maxPayloadBytes: topic.role === 'dead-letters' ? MAX_PAYLOAD_BYTES : maxPayloadBytes,
    }
  }

  laneOf(record: OutgoingRecord): number {
    const partitions = this.#publishers.length
    if (record.partition !== undefined) return record.partition
    if (record.key !== undefined)
      return this.#routes === undefined
        ? partitionOfKey(record.key, partitions)
        : (this.#routes.get(record.key) ?? UNROUTED)
    this.#turn = (this.#turn + 1) % partitions
    return this.#turn
  }

  publish(batch: PublishBatch): Promise<void> {
    if (batch.lane === UNROUTED) failUnrouted(batch, this.#spec.topic.topic)
    return this.#publishers[batch.lane]?.publish(batch) ?? Promise.resolve()
  }

  /** Asks each node for the streams that it leads. */
  async probe(): Promise<void> {
    const connections = new Set(this.#publishers.map(({ handle }) => handle.connection))
    const streams = [...(this.#topology?.streams ?? [])]
    await Promise.all([...connections].map((connection) => connection.sendAndWait(new MetadataRequest({ streams }))))
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  #publisherSettings() {
    const { topic, options } = this.#spec
    const header = options.filterHeader
    return {
      topic: topic.topic,
      subEntrySize: options.subEntrySize,
      compression: options.compression,
      filterOf: header === undefined ? undefined : (record: OutgoingRecord) => record.headers?.[header],
    }
  }

  #events() {
    const of = (connection: StreamConnection, publisherId: number): PartitionPublisher | undefined =>
      this.#publishers.find(({ handle }) => handle.publisherId === publisherId && handle.connection === connection)
    return {
      closed: (_: StreamConnection, error: Error) => this.#sink.lost(error),
      confirmed: (connection: StreamConnection, publisherId: number, ids: readonly bigint[]) =>
        of(connection, publisherId)?.confirmed(ids),
      refused: (connection: StreamConnection, publisherId: number, errors: readonly PublishError[]) => {
        of(connection, publisherId)?.refused(errors)
        const gone = errors.find(({ code }) => PUBLISHER_GONE.has(code))
        if (gone !== undefined) this.#sink.lost(new ServerError(gone.code, 'publishing'))
      },
      streamChanged: (_: StreamConnection, { code, stream }: { code: number; stream: string }) => {
        if (this.#topology?.streams.includes(stream) === true)
          this.#sink.lost(new ServerError(code, `stream '${stream}' was deleted or its leader moved`))
      },
    }
  }
}
