import {
  type Admin,
  type PartitionLag,
  StreamError,
  type TopicInfo,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import type { MemoryBroker } from './connection.js'

/** Lists, creates and deletes the topics of a broker in this process. */
export class MemoryAdmin implements Admin {
  readonly #broker: MemoryBroker
  readonly #prefix: string
  readonly #maxBytes: number

  constructor(broker: MemoryBroker, prefix: string, maxBytes: number) {
    this.#broker = broker
    this.#prefix = prefix
    this.#maxBytes = maxBytes
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    const topic = this.#broker.provision(spec, this.#maxBytes)
    return { topic: spec.topic, partitions: topic.logs.length }
  }

  async topics(): Promise<readonly TopicInfo[]> {
    return this.#broker
      .list()
      .filter(([name]) => name.startsWith(this.#prefix))
      .map(([name, partitions]) => ({ topic: name.slice(this.#prefix.length), partitions }))
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    const topic = this.#broker.topic(spec.brokerTopic)
    if (topic === undefined) throw topicMissing('memory', spec)
    const group = topic.group(brokerGroup)
    if (group === undefined) {
      throw new StreamError(`topic '${spec.topic}' has no group '${brokerGroup}'`, {
        code: 'NOT_FOUND',
        transport: 'memory',
        operation: 'lag',
        topic: spec.topic,
      })
    }
    return group.partitions.map((partition, number) => ({ topic: spec.topic, partition: number, lag: partition.lag }))
  }

  async deleteTopic(spec: TopicSpec): Promise<void> {
    this.#broker.delete(spec.brokerTopic)
  }
}
