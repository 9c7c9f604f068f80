import {
  type Admin,
  type Logger,
  type PartitionLag,
  partitionConflict,
  StreamError,
  type TopicInfo,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import type { ITopicConfig, Kafka, Admin as KafkajsAdmin } from 'kafkajs'
import type { KafkaConnection } from './connection.js'
import { classifyError, protocolError } from './errors.js'
import { readLogs } from './log-ranges.js'
import { onceLed } from './once-ready.js'

/** How often and how long to check whether a deleted topic is gone. */
const DELETED_POLL_MS = 50
const DELETED_WAIT_MS = 5_000

/**
 * A dead-letter topic accepts whatever its source accepts, which may be any topic of the group, and may be changed
 * later.
 */
const UNBOUNDED = { name: 'max.message.bytes', value: String(2 ** 31 - 1) }
const BOUND_REFUSED: ReadonlySet<string> = new Set(['INVALID_CONFIG', 'POLICY_VIOLATION', 'INVALID_REQUEST'])

/** How often metadata is requested when the answer is contradictory. */
const METADATA_ATTEMPTS = 5

/** Creates, verifies, lists and deletes topics of a cluster, and returns the lag of groups. */
export class KafkaAdmin implements Admin {
  readonly #connection: KafkaConnection
  readonly #prefix: string
  readonly #replicationFactor: number
  readonly #logger: Logger

  constructor(connection: KafkaConnection, prefix: string, replicationFactor: number, logger: Logger) {
    this.#connection = connection
    this.#prefix = prefix
    this.#replicationFactor = replicationFactor
    this.#logger = logger
  }

  provision(spec: TopicSpec, signal?: AbortSignal): Promise<TopicInfo> {
    return this.#run('open', spec.topic, (admin) => this.#provision(admin, spec), signal)
  }

  topics(): Promise<readonly TopicInfo[]> {
    return this.#run('topics', undefined, async (admin) => {
      const names = (await admin.listTopics()).filter((name) => name.startsWith(this.#prefix) && !name.startsWith('__'))
      if (names.length === 0) return []
      const { topics } = await admin.fetchTopicMetadata({ topics: names })
      // Topics deleted since have no partitions.
      return topics
        .filter(({ partitions }) => partitions.length > 0)
        .map(({ name, partitions }) => ({ topic: name.slice(this.#prefix.length), partitions: partitions.length }))
    })
  }

  lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    return this.#run('lag', spec.topic, async (admin, kafka) => {
      const count = await partitionCount(admin, spec.brokerTopic)
      if (count === undefined) throw missing(`topic '${spec.topic}' doesn't exist`, 'lag', spec.topic)
      const [logs, [committed]] = await Promise.all([
        readLogs(kafka, spec.brokerTopic, count),
        admin.fetchOffsets({ groupId: brokerGroup, topics: [spec.brokerTopic] }),
      ])
      const offsets = new Map((committed?.partitions ?? []).map(({ partition, offset }) => [partition, Number(offset)]))
      if ([...offsets.values()].every((offset) => offset < 0) && !(await groupExists(admin, brokerGroup))) {
        throw missing(`topic '${spec.topic}' has no group '${brokerGroup}'`, 'lag', spec.topic)
      }
      return logs.map(({ partition, first, end }) => {
        const position = Math.max(offsets.get(partition) ?? -1, first)
        return { topic: spec.topic, partition, lag: Math.max(0, end - position) }
      })
    })
  }

  deleteTopic(spec: TopicSpec): Promise<void> {
    return this.#run('delete', spec.topic, async (admin) => {
      if ((await partitionCount(admin, spec.brokerTopic)) === undefined) return
      try {
        await admin.deleteTopics({ topics: [spec.brokerTopic] })
      } catch (error) {
        // kafkajs repeats a deletion that took effect but whose metadata was late.
        if (protocolError(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
      }
      for (const end = performance.now() + DELETED_WAIT_MS; performance.now() < end; ) {
        if ((await partitionCount(admin, spec.brokerTopic)) === undefined) return
        await new Promise((resolve) => setTimeout(resolve, DELETED_POLL_MS))
      }
    })
  }

  async #provision(admin: KafkajsAdmin, spec: TopicSpec): Promise<TopicInfo> {
    const existing = await partitionCount(admin, spec.brokerTopic)
    if (existing !== undefined) return this.#checked(spec, existing)
    if (spec.provision !== 'create') throw topicMissing('kafka', spec)
    // kafkajs's own wait for leaders begins with a tenth of a second without any request.
    await this.#create(admin, spec)
    // Metadata shows leaders before the brokers know of it themselves: only an answer from each means that the topic
    // can be used.
    await onceLed(() => fetchMetadata(admin, spec.brokerTopic))
    const offsets = await onceLed(() => admin.fetchTopicOffsets(spec.brokerTopic))
    // Another client may have created it at the same time, with another count.
    return this.#checked(spec, offsets.length)
  }

  async #create(admin: KafkajsAdmin, spec: TopicSpec): Promise<void> {
    const config = this.#topicConfig(spec)
    if (spec.role !== 'dead-letters')
      return void (await admin.createTopics({ waitForLeaders: false, topics: [config] }))
    const configEntries = [...(config.configEntries ?? []), UNBOUNDED]
    try {
      await admin.createTopics({ waitForLeaders: false, topics: [{ ...config, configEntries }] })
    } catch (error) {
      // Some clusters allow no such topics: then it accepts what others accept.
      if (!BOUND_REFUSED.has(protocolError(error) ?? '')) throw error
      await admin.createTopics({ waitForLeaders: false, topics: [config] })
    }
  }

  #checked(spec: TopicSpec, partitions: number): TopicInfo {
    if (spec.partitions === undefined || spec.partitions === partitions || spec.provision === 'none')
      return { topic: spec.topic, partitions }
    throw partitionConflict('kafka', spec, partitions)
  }

  #topicConfig(spec: TopicSpec): ITopicConfig {
    const { maxAgeMs, maxBytes, maxMessages } = spec.retention
    if (maxMessages !== undefined)
      this.#logger.warn(
        `kafka: retention.maxMessages of topic '${spec.topic}' has no effect: Kafka limits topics by age and size`,
      )
    // Dead letters wait for an operator: the broker's default of a week would drop them.
    const age = maxAgeMs ?? (spec.role === 'dead-letters' ? -1 : undefined)
    const configEntries = [
      ...(age === undefined ? [] : [{ name: 'retention.ms', value: String(age) }]),
      ...(maxBytes === undefined ? [] : [{ name: 'retention.bytes', value: String(maxBytes) }]),
    ]
    return {
      topic: spec.brokerTopic,
      numPartitions: spec.partitions ?? 1,
      replicationFactor: this.#replicationFactor,
      configEntries,
    }
  }

  async #run<T>(
    operation: string,
    topic: string | undefined,
    work: (admin: KafkajsAdmin, kafka: Kafka) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    try {
      return await this.#connection.administer(work, signal)
    } catch (error) {
      throw classifyError(error, operation, topic)
    }
  }
}

/** Partitions of a topic, all of them with a leader; `undefined` when it doesn't exist. */
async function partitionCount(admin: KafkajsAdmin, topic: string): Promise<number | undefined> {
  try {
    const { topics } = await fetchMetadata(admin, topic)
    return topics[0]?.partitions.length
  } catch (error) {
    if (protocolError(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return undefined
    throw error
  }
}

/**
 * kafkajs asks twice, and when only the second answer is an error (the topic was just created or deleted) it swallows
 * it and fails on the missing metadata: a TypeError that only means 'ask again'.
 */
async function fetchMetadata(admin: KafkajsAdmin, topic: string): ReturnType<KafkajsAdmin['fetchTopicMetadata']> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await admin.fetchTopicMetadata({ topics: [topic] })
    } catch (error) {
      if (!(error instanceof TypeError) || attempt === METADATA_ATTEMPTS) throw error
    }
  }
}

async function groupExists(admin: KafkajsAdmin, group: string): Promise<boolean> {
  const { groups } = await admin.describeGroups([group])
  return groups[0] !== undefined && groups[0].state !== 'Dead'
}

function missing(message: string, operation: string, topic: string): StreamError {
  return new StreamError(message, { code: 'NOT_FOUND', retryable: false, transport: 'kafka', operation, topic })
}
