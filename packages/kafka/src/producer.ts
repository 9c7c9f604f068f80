import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSink,
  ProducerSpec,
  PublishBatch,
} from '@streamswitch/core/driver'
import type { KafkaAdmin } from './admin.js'
import type { KafkaConnection } from './connection.js'
import { classifyError, isConnectionError, protocolError } from './errors.js'
import { wireSize } from './message.js'
import { keyOf } from './native-form.js'
import type { KafkaProducerValues, KafkaValues } from './options.js'
import { Partitioner } from './partitioner.js'
import type { Publisher } from './publisher.js'
import { NativeRecord } from './record-batch.js'

/**
 * Maximum size of a batch, in bytes: the broker's default `max.message.bytes` (1,048,588) limits a batch, not only a
 * message.
 */
const MAX_BATCH_BYTES = 1_040_000

/**
 * After one of these errors a producer's sequence numbers differ from the broker's: only a fresh producer can continue.
 */
const SEQUENCE_LOST: ReadonlySet<string> = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'DUPLICATE_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
])

/** Errors that a broker returns for a batch because of one record in it. */
const OF_ONE_RECORD: ReadonlySet<string> = new Set(['INVALID_TIMESTAMP', 'INVALID_RECORD'])

export interface ProducerParts {
  readonly connection: KafkaConnection
  readonly admin: KafkaAdmin
  readonly options: KafkaValues
}

/**
 * Publishes to one topic. A lane is a partition with one batch in flight: with several, a failed batch could be
 * overtaken, even by an idempotent kafkajs producer.
 */
export class KafkaProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #parts: ProducerParts
  readonly #spec: ProducerSpec<KafkaProducerValues>
  readonly #sink: ProducerSink
  #publisher: Publisher | undefined
  #partitioner = new Partitioner(1)
  #lost = false

  constructor(parts: ProducerParts, spec: ProducerSpec<KafkaProducerValues>, sink: ProducerSink) {
    this.#parts = parts
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    const { connection, admin, options } = this.#parts
    const { partitions } = await admin.provision(this.#spec.topic, signal)
    this.#partitioner = new Partitioner(partitions)
    const compression = this.#spec.options.compression ?? options.compression
    const idempotent = this.#spec.options.idempotent ?? options.idempotent
    this.#publisher = await connection.publisher({ compression, idempotent }, signal)
    // A dead letter is as large as its original; the senders' limit doesn't apply.
    const maxPayloadBytes = this.#holdsDeadLetters ? Number.POSITIVE_INFINITY : options.maxPayloadBytes
    return { partitions, maxPayloadBytes }
  }

  laneOf(record: OutgoingRecord): number {
    return record.partition ?? this.#partitioner.partitionOf(keyOf(record))
  }

  async publish(batch: PublishBatch): Promise<void> {
    for (const [first, end] of slices(batch.records)) {
      if (!(await this.#send(batch, first, end))) return
    }
  }

  async close(): Promise<void> {
    this.#lost = true
    await this.#publisher?.close()
  }

  get #holdsDeadLetters(): boolean {
    return this.#spec.topic.role === 'dead-letters'
  }

  /** Returns false when nothing newer may follow. */
  async #send(batch: PublishBatch, first: number, end: number, restamp = false): Promise<boolean> {
    const now = Date.now()
    const messages = batch.records.slice(first, end).map((record) => new NativeRecord(record, batch.lane, now, restamp))
    try {
      const base = await (this.#publisher as Publisher).send(this.#spec.topic.brokerTopic, messages)
      for (let index = first; index < end; index += 1)
        batch.accept(index, batch.lane, base === undefined ? undefined : base + index - first)
      return true
    } catch (error) {
      const isRefusedTime = protocolError(error) === 'INVALID_TIMESTAMP' && end - first === 1
      // A received record is written again, however old it is: its time is sent as a header.
      const isPassedOn = this.#holdsDeadLetters || batch.records[first]?.original?.part === 'message'
      if (isRefusedTime && isPassedOn && !restamp) return this.#send(batch, first, end, true)
      return this.#failed(batch, first, end, error)
    }
  }

  async #failed(batch: PublishBatch, first: number, end: number, error: unknown): Promise<boolean> {
    const { topic, provision } = this.#spec.topic
    const type = protocolError(error)
    const classified = classifyError(error, 'send', topic)
    // The broker refuses the whole batch: sent alone, the records that aren't the cause are accepted.
    const isOfOne = classified.code === 'TOO_LARGE' || (type !== undefined && OF_ONE_RECORD.has(type))
    if (isOfOne && end - first > 1) return this.#sendOneByOne(batch, first, end)
    const deleted = classified.code === 'NOT_FOUND' && provision === 'create'
    if (deleted || isConnectionError(error) || (type !== undefined && SEQUENCE_LOST.has(type))) {
      this.#lose(error)
      // Unreported records are ambiguous: the fresh driver sends them again.
      return false
    }
    for (let index = first; index < end; index += 1) batch.fail(index, classified)
    return !classified.retryable
  }

  async #sendOneByOne(batch: PublishBatch, first: number, end: number): Promise<boolean> {
    for (let index = first; index < end; index += 1) {
      if (!(await this.#send(batch, index, index + 1))) return false
    }
    return true
  }

  #lose(error: unknown): void {
    if (this.#lost) return
    this.#lost = true
    this.#sink.lost(error)
  }
}

/** Runs of records that fit into one batch on the wire. */
function* slices(records: readonly OutgoingRecord[]): Generator<readonly [first: number, end: number]> {
  let first = 0
  let bytes = 0
  for (const [index, record] of records.entries()) {
    const size = wireSize(record)
    if (index > first && bytes + size > MAX_BATCH_BYTES) {
      yield [first, index]
      first = index
      bytes = 0
    }
    bytes += size
  }
  if (first < records.length) yield [first, records.length]
}
