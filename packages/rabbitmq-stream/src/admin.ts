import { type Admin, type PartitionLag, readSecret, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import { ResponseCode } from './client-patches/server-error.js'
import type { StreamClient } from './client-patches/stream-client.js'
import { type ConnectionSource, openClient } from './connection.js'
import { classifyError, failure, hasCode, topicMissing } from './errors.js'
import { GroupRecordStore } from './group-records.js'
import { parseHost } from './options.js'
import { lagOf } from './stream-positions.js'
import { ensureTopic, findTopic, LOCK_STREAM, whenAvailable } from './topology.js'

const MANAGEMENT_PORT = 15_672
const MANAGEMENT_TIMEOUT_MS = 10_000
const AVAILABLE_WITHIN_MS = 5_000

/** What the management API tells of a queue. */
interface QueueRow {
  readonly name: string
  readonly arguments?: Readonly<Record<string, unknown>>
}

/** Looks at and changes topics. Each call has a client of its own. */
export class StreamAdmin implements Admin {
  readonly #source: ConnectionSource

  constructor(source: ConnectionSource) {
    this.#source = source
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    return this.#with('provision', spec.topic, async (client) => {
      const { streams } = await ensureTopic(client, spec, this.#source)
      return { topic: spec.topic, partitions: streams.length }
    })
  }

  /** The stream protocol can't list streams: the management API is asked. UNSUPPORTED where it can't be reached. */
  async topics(): Promise<readonly TopicInfo[]> {
    const { prefix } = this.#source.context
    const names = (await this.#queues()).filter((name) => name.startsWith(prefix) && name !== prefix + LOCK_STREAM)
    return this.#with('topics', undefined, async (client) => {
      const partitionsOf = new Map<string, number>()
      for (const name of names) {
        const parent = /^(.+)-\d+$/.exec(name)?.[1]
        if (parent !== undefined && partitionsOf.has(parent)) continue
        const found = parent === undefined ? undefined : await findTopic(client, parent)
        const topic =
          found?.streams.includes(name) === true && found.superStream !== undefined ? (parent as string) : name
        partitionsOf.set(topic, topic === name ? 1 : (found?.streams.length ?? 1))
      }
      return [...partitionsOf].map(([name, partitions]) => ({ topic: name.slice(prefix.length), partitions }))
    })
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    return this.#with('lag', spec.topic, async (client) => {
      const topology = await findTopic(client, spec.brokerTopic)
      if (topology === undefined) throw topicMissing(spec.topic)
      const positions = await Promise.all(
        topology.streams.map((stream) =>
          new GroupRecordStore(client.locator, stream, brokerGroup, spec.topic).position(),
        ),
      )
      if (positions.every((position) => position === undefined))
        throw failure('NOT_FOUND', `topic '${spec.topic}' has no group '${brokerGroup}'`, 'lag', spec.topic)
      const lags: PartitionLag[] = []
      for (const [partition, stream] of topology.streams.entries()) {
        lags.push({ topic: spec.topic, partition, lag: await lagOf(client, stream, positions[partition]) })
      }
      return lags
    })
  }

  async deleteTopic(spec: TopicSpec): Promise<void> {
    await this.#with('deleteTopic', spec.topic, async (client) => {
      const topology = await findTopic(client, spec.brokerTopic)
      if (topology === undefined) return
      const deletion =
        topology.superStream === undefined
          ? client.deleteStream({ stream: spec.brokerTopic })
          : client.deleteSuperStream({ streamName: spec.brokerTopic })
      await deletion.catch((error: unknown) => {
        if (!hasCode(error, ResponseCode.streamDoesNotExist)) throw error
      })
    })
  }

  async #with<T>(operation: string, topic: string | undefined, work: (client: StreamClient) => Promise<T>): Promise<T> {
    try {
      const client = await openClient(this.#source)
      try {
        return await whenAvailable(AbortSignal.timeout(AVAILABLE_WITHIN_MS), () => work(client))
      } finally {
        await client.close()
      }
    } catch (error) {
      throw classifyError(error, operation, topic)
    }
  }

  async #queues(): Promise<string[]> {
    const { settings } = this.#source
    const first = parseHost(settings.hosts[0] ?? '127.0.0.1', settings.tls).host
    const base = settings.managementUrl ?? `http://${first.includes(':') ? `[${first}]` : first}:${MANAGEMENT_PORT}`
    const password =
      (await readSecret(settings.password, 'rabbitmq-stream')) ?? (settings.username === 'guest' ? 'guest' : '')
    const url = new URL(`${base.replace(/\/$/, '')}/api/queues/${encodeURIComponent(settings.vhost)}`)
    const authorization = `Basic ${Buffer.from(`${settings.username}:${password}`).toString('base64')}`
    try {
      const response = await fetch(url, {
        headers: { authorization },
        signal: AbortSignal.timeout(MANAGEMENT_TIMEOUT_MS),
      })
      if (!response.ok) throw new Error(`it answered ${response.status}`)
      const rows = (await response.json()) as QueueRow[]
      return rows.filter((row) => row.arguments?.['x-queue-type'] === 'stream').map(({ name }) => name)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw failure(
        'UNSUPPORTED',
        `topics are listed by RabbitMQ's management API, and ${url.origin} can't be used (${reason}): set managementUrl`,
        'topics',
        undefined,
        cause,
      )
    }
  }
}
