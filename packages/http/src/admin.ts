import { type Admin, type PartitionLag, StreamError, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import type { HttpOptionValues } from './options.js'

/** HTTP keeps nothing: topics are what routes and endpoints name, and there is nothing to make, count or delete. */
export class HttpAdmin implements Admin {
  readonly #options: HttpOptionValues

  constructor(options: HttpOptionValues) {
    this.#options = options
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    return { topic: spec.topic, partitions: spec.partitions ?? 1 }
  }

  async topics(): Promise<readonly TopicInfo[]> {
    const names = new Set([...Object.keys(this.#options.routes), ...Object.keys(this.#options.endpoints)])
    return [...names].map((topic) => ({ topic, partitions: 1 }))
  }

  async lag(spec: TopicSpec): Promise<readonly PartitionLag[]> {
    throw new StreamError('HTTP keeps no messages, so there is no lag: what is not handled yet waits at its senders', {
      code: 'UNSUPPORTED',
      transport: 'http',
      operation: 'lag',
      topic: spec.topic,
    })
  }

  async deleteTopic(): Promise<void> {}
}
