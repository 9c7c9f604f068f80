import { crc32 } from 'node:zlib'
import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  ProducerSpec,
  PublishBatch,
} from '@streamswitch/core/driver'
import { withSignal } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { classifyError } from './errors.js'
import { encodeRecord } from './message.js'
import type { Topic } from './topics.js'

/** Appends records to the logs of one topic. A lane is a partition. */
export class FilesProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #connection: Connection
  readonly #spec: ProducerSpec
  readonly #sink: ProducerSink
  #topic: Topic | undefined
  #turn = 0
  #lost = false

  constructor(connection: Connection, spec: ProducerSpec, sink: ProducerSink) {
    this.#connection = connection
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const topic = await withSignal(this.#connection.topic(this.#spec.topic), signal)
    this.#topic = topic
    return { partitions: topic.partitions, maxPayloadBytes: this.#connection.settings.maxPayloadBytes }
  }

  laneOf(record: OutgoingRecord): number {
    if (record.partition !== undefined) return record.partition
    const partitions = this.#topic?.partitions ?? 1
    if (record.key !== undefined) return crc32(record.key) % partitions
    this.#turn = (this.#turn + 1) % partitions
    return this.#turn
  }

  async publish(batch: PublishBatch): Promise<void> {
    if (this.#topic === undefined) return
    const records = batch.records.map((record) => encodeRecord(record, this.#spec.contentType))
    try {
      let position = await this.#connection.writer(this.#topic, batch.lane).append(Buffer.concat(records))
      for (const [index, bytes] of records.entries()) {
        batch.accept(index, batch.lane, position)
        if (position !== undefined) position += bytes.length
      }
    } catch (native) {
      const error = classifyError(native, 'send', this.#spec.topic.topic)
      batch.failAll(error)
      if (error.code === 'UNAVAILABLE') this.#lose(error)
    }
  }

  probe(): Promise<void> {
    return this.#connection.probe()
  }

  async close(): Promise<void> {
    this.#lost = true
  }

  /** The topic may have been deleted: a fresh driver recreates it. */
  #lose(error: unknown): void {
    if (this.#lost) return
    this.#lost = true
    this.#sink.lost(error)
  }
}
