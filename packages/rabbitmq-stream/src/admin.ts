import {
  type Admin,
  bracketed,
  isStreamError,
  messageOf,
  type PartitionLag,
  parseHostText,
  readSecret,
  type StreamError,
  type TopicInfo,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import { ConnectionGone, NoLeader } from './client-patches/server-error.js'
import type { StreamClient } from './client-patches/stream-client.js'
import { type ConnectionSource, openClient } from './connection.js'
import { classifyError, failure, TRANSPORT } from './errors.js'
import { GroupRecordStore } from './group-records.js'
import { lagOf, rangeOf } from './stream-positions.js'
import {
  deleteTopic,
  ensureTopic,
  existingStreams,
  findSuperStream,
  findTopic,
  LOCK_STREAM,
  whenAvailable,
} from './topology.js'

const MANAGEMENT_PORT = 15_672
/** Streams in which the transport amqp keeps partition counts, offsets and lists: not topics. */
const AMQP_STREAM = /^streamswitch:|:(partitions|dropped)$/
const MANAGEMENT_TIMEOUT_MS = 10_000
const AVAILABLE_WITHIN_MS = 5_000

/** What the management API returns for a queue or an exchange. */
interface ManagementRow {
  readonly name: string
  readonly arguments?: Readonly<Record<string, unknown>>
}

/** Lists, creates and deletes topics. Each call uses a separate client. */
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

  /** The stream protocol can't list streams: the management API is used. UNSUPPORTED when it can't be reached. */
  async topics(): Promise<readonly TopicInfo[]> {
    const { prefix } = this.#source.context
    const isStream = (row: ManagementRow): boolean => row.arguments?.['x-queue-type'] === 'stream'
    const isSuperStream = (row: ManagementRow): boolean => row.arguments?.['x-super-stream'] === true
    const streams = new Set((await this.#list('queues')).filter(isStream).map(({ name }) => name))
    const superStreams = (await this.#list('exchanges')).filter(isSuperStream).map(({ name }) => name)
    streams.delete(prefix + LOCK_STREAM)
    for (const name of streams) if (AMQP_STREAM.test(name.slice(prefix.length))) streams.delete(name)
    return this.#with('topics', undefined, async (client) => {
      const topics: TopicInfo[] = []
      const half = [...streams].map(superStreamOf).filter((name) => name !== undefined)
      for (const name of new Set([...superStreams, ...half])) {
        if (!name.startsWith(prefix)) continue
        const found = await findSuperStream(client, name, prefix, streams)
        if (found === undefined) continue
        for (const stream of found.streams) streams.delete(stream)
        topics.push({ topic: name.slice(prefix.length), partitions: found.streams.length })
      }
      // A listed stream may be a partition of a super stream that was deleted since.
      const plain = await existingStreams(
        client,
        [...streams].filter((name) => name.startsWith(prefix)),
      )
      return [...topics, ...plain.map((name) => ({ topic: name.slice(prefix.length), partitions: 1 }))]
    })
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    return this.#with('lag', spec.topic, async (client) => {
      const topology = await findTopic(client, spec.brokerTopic)
      if (topology === undefined) throw topicMissing(TRANSPORT, spec)
      const positions = await Promise.all(
        topology.streams.map((stream) =>
          new GroupRecordStore(client.locator, stream, brokerGroup, spec.topic).position(),
        ),
      )
      if (positions.every((position) => position === undefined))
        throw failure('NOT_FOUND', `topic '${spec.topic}' has no group '${brokerGroup}'`, 'lag', spec.topic)
      const lags: PartitionLag[] = []
      for (const [partition, stream] of topology.streams.entries()) {
        lags.push({
          topic: spec.topic,
          partition,
          lag: await lagOf(client, stream, positions[partition], await rangeOf(client, stream)),
        })
      }
      return lags
    })
  }

  async deleteTopic(spec: TopicSpec): Promise<void> {
    const { prefix } = this.#source.context
    await this.#with('deleteTopic', spec.topic, (client) => deleteTopic(client, spec.brokerTopic, prefix))
  }

  async #with<T>(operation: string, topic: string | undefined, work: (client: StreamClient) => Promise<T>): Promise<T> {
    try {
      return await this.#repeatWhileCut(work)
    } catch (error) {
      throw classifyError(error, operation, topic)
    }
  }

  /**
   * The broker (4.0.5) closes the connection of a client that asks about a stream at the moment when it is created or
   * deleted; asked again, it answers. Every operation here can be repeated.
   */
  async #repeatWhileCut<T>(work: (client: StreamClient) => Promise<T>): Promise<T> {
    let patience: AbortSignal | undefined
    for (;;) {
      const client = await openClient(this.#source)
      patience ??= AbortSignal.timeout(AVAILABLE_WITHIN_MS)
      try {
        return await whenAvailable(patience, () => work(client))
      } catch (error) {
        const wasCut = error instanceof ConnectionGone && !(error instanceof NoLeader)
        if (!wasCut || patience.aborted) throw error
      } finally {
        await client.close()
      }
    }
  }

  async #list(what: 'queues' | 'exchanges'): Promise<readonly ManagementRow[]> {
    const { settings } = this.#source
    const first = bracketed(parseHostText(settings.hosts[0] ?? '127.0.0.1', MANAGEMENT_PORT).host)
    const base = settings.managementUrl ?? `http://${first}:${MANAGEMENT_PORT}`
    const password =
      (await readSecret(settings.password, 'rabbitmq-stream')) ?? (settings.username === 'guest' ? 'guest' : '')
    const url = new URL(`${base.replace(/\/$/, '')}/api/${what}/${encodeURIComponent(settings.vhost)}`)
    const authorization = `Basic ${Buffer.from(`${settings.username}:${password}`).toString('base64')}`
    try {
      const response = await fetch(url, {
        headers: { authorization },
        signal: AbortSignal.timeout(MANAGEMENT_TIMEOUT_MS),
      })
      if (response.status === 401 && /management/i.test(await response.text())) throw noManagementTag(settings.username)
      if (!response.ok) throw new Error(`it answered ${response.status}`)
      return (await response.json()) as ManagementRow[]
    } catch (cause) {
      if (isStreamError(cause)) throw cause
      const reason = messageOf(cause)
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

function noManagementTag(user: string): StreamError {
  return failure(
    'PERMISSION_DENIED',
    `user '${user}' lacks the tag management, which listing topics requires (rabbitmqctl set_user_tags): grant it, see docs/rights.md`,
    'topics',
    undefined,
  )
}

/**
 * Returns the super stream that a stream may be a partition of, by its name: one that is being created has partitions
 * before it is listed.
 */
function superStreamOf(stream: string): string | undefined {
  return /^(.+)-\d+$/.exec(stream)?.[1]
}
