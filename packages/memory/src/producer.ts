import type {
  OptionValues,
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSpec,
  PublishBatch,
} from '@streamswitch/core/driver'
import type { MemoryBroker } from './connection.js'
import type { memoryProducerFields } from './options.js'
import type { Topic } from './topic.js'

interface Limits {
  readonly maxBytes: number
  readonly maxPayloadBytes: number
}

/** Appends batches to a topic of a broker in this process. */
export class MemoryProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #broker: MemoryBroker
  readonly #spec: ProducerSpec<OptionValues<typeof memoryProducerFields>>
  readonly #limits: Limits
  #topic: Topic | undefined
  #claimed: string | undefined

  constructor(broker: MemoryBroker, spec: ProducerSpec<OptionValues<typeof memoryProducerFields>>, limits: Limits) {
    this.#broker = broker
    this.#spec = spec
    this.#limits = limits
  }

  async open(): Promise<ProducerReady> {
    const topic = this.#broker.provision(this.#spec.topic, this.#limits.maxBytes)
    const { publisherName } = this.#spec.options
    if (publisherName !== undefined) {
      topic.claimPublisher(publisherName)
      this.#claimed = publisherName
    }
    this.#topic = topic
    const isBounded = this.#spec.topic.role !== 'dead-letters'
    return { partitions: topic.logs.length, maxPayloadBytes: isBounded ? this.#limits.maxPayloadBytes : Infinity }
  }

  publish(batch: PublishBatch): void {
    for (const [index, record] of batch.records.entries()) {
      try {
        this.#store(batch, index, record)
      } catch (error) {
        // Nothing behind the refused record may overtake it.
        return batch.failAll(error)
      }
    }
  }

  async close(): Promise<void> {
    if (this.#claimed !== undefined) this.#topic?.releasePublisher(this.#claimed)
    this.#claimed = undefined
  }

  #store(batch: PublishBatch, index: number, record: OutgoingRecord): void {
    const topic = this.#topic as Topic
    const deduplicated = this.#claimed !== undefined && record.sequence !== undefined
    if (deduplicated && topic.isDuplicate(this.#claimed as string, record.sequence as bigint))
      return batch.accept(index)
    const { partition, offset } = topic.append(record)
    if (deduplicated) topic.stored(this.#claimed as string, record.sequence as bigint)
    batch.accept(index, partition, offset)
  }
}
