import { type Admin, type PartitionLag, StreamError, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import type { HttpOptionValues } from './options.js'

/** HTTP stores nothing: topics are those in routes and endpoints, and there is nothing to create, count or delete. */
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
    throw new StreamError('HTTP stores no messages, so there is no lag: unhandled messages wait at their senders', {
      code: 'UNSUPPORTED',
      transport: 'http',
      operation: 'lag',
      topic: spec.topic,
    })
  }

  async deleteTopic(): Promise<void> {}
}
