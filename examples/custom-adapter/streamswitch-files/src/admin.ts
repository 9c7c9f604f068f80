import type { Admin, PartitionLag, TopicInfo, TopicSpec } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { classifyError } from './errors.js'
import { partitionLag } from './lag.js'
import { groupFolder, topicFolder } from './paths.js'
import { RecordCount } from './record-count.js'
import { deleteTopic, listTopics, readPartitions } from './topics.js'

/** Topics and lag, read from the files. */
export class FilesAdmin implements Admin {
  readonly #connection: Connection
  readonly #prefix: string

  constructor(connection: Connection, prefix: string) {
    this.#connection = connection
    this.#prefix = prefix
  }

  provision(spec: TopicSpec): Promise<TopicInfo> {
    return classified('provision', spec.topic, async () => {
      const { partitions } = await this.#connection.topic(spec)
      return { topic: spec.topic, partitions }
    })
  }

  topics(): Promise<readonly TopicInfo[]> {
    return classified('topics', undefined, async () => {
      const found: TopicInfo[] = []
      for (const name of await listTopics(this.#connection.folder, this.#prefix)) {
        const partitions = await readPartitions(topicFolder(this.#connection.folder, name))
        if (partitions !== undefined) found.push({ topic: name.slice(this.#prefix.length), partitions })
      }
      return found
    })
  }

  lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    return classified('lag', spec.topic, async () => {
      const topic = await this.#connection.topic({ ...spec, provision: 'none' })
      const group = groupFolder(topic.folder, brokerGroup)
      const all = Array.from({ length: topic.partitions }, (_, partition) => partition)
      return Promise.all(all.map((partition) => partitionLag(topic, group, partition, new RecordCount())))
    })
  }

  deleteTopic(spec: TopicSpec): Promise<void> {
    return classified('deleteTopic', spec.topic, () => deleteTopic(this.#connection.folder, spec))
  }
}

async function classified<T>(operation: string, topic: string | undefined, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw classifyError(error, operation, topic)
  }
}
