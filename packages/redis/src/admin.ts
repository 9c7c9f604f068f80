import { type Admin, type PartitionLag, StreamError, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import type { Connection, Connector } from './connection.js'
import { classifyError } from './errors.js'
import { keyBase, metaKey, partitionsOf } from './keys.js'
import { readLags } from './lag.js'
import { provisionTopic, streamsOf } from './topic.js'

/** Lists, creates and deletes topics. Each call uses its own connection. */
export class RedisAdmin implements Admin {
  readonly #connector: Connector
  readonly #prefix: string

  constructor(connector: Connector, prefix: string) {
    this.#connector = connector
    this.#prefix = prefix
  }

  provision(spec: TopicSpec): Promise<TopicInfo> {
    return this.#connected('provision', spec.topic, async (connection) => ({
      topic: spec.topic,
      partitions: (await provisionTopic(connection, spec)).partitions,
    }))
  }

  topics(): Promise<readonly TopicInfo[]> {
    return this.#connected('topics', undefined, async (connection) => {
      const start = `ss:{${this.#prefix}`
      const keys = await scan(connection, `${escapeGlob(start)}*}:meta`)
      const names = keys.map((key) => key.slice('ss:{'.length, -'}:meta'.length)).sort()
      return Promise.all(
        names.map(async (name) => ({
          topic: name.slice(this.#prefix.length),
          partitions: Number(await connection.call('HGET', metaKey(name), 'partitions')),
        })),
      )
    })
  }

  lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    return this.#connected('lag', spec.topic, async (connection) => {
      const { partitions: count } = await provisionTopic(connection, { ...spec, provision: 'verify' })
      const lags = await readLags(connection, partitionsOf(spec, count, brokerGroup), brokerGroup)
      const known = lags.filter((lag) => lag !== undefined)
      if (known.length > 0) return known
      throw new StreamError(`topic '${spec.topic}' has no group '${brokerGroup}'`, {
        code: 'NOT_FOUND',
        transport: 'redis',
        operation: 'lag',
        topic: spec.topic,
      })
    })
  }

  deleteTopic(spec: TopicSpec): Promise<void> {
    return this.#connected('deleteTopic', spec.topic, async (connection) => {
      const streams = await streamsOf(connection, spec)
      for (const stream of streams) await requireStream(connection, stream)
      const owned = await Promise.all(
        [spec.brokerTopic, ...streams].map((name) => scan(connection, `${escapeGlob(`${keyBase(name)}:`)}*`)),
      )
      for (const key of new Set([...streams, ...owned.flat()])) await connection.call('UNLINK', key)
    })
  }

  async #connected<T>(
    operation: string,
    topic: string | undefined,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const signal = AbortSignal.timeout(this.#connector.settings.callTimeoutMs)
    let connection: Connection | undefined
    try {
      connection = await this.#connector.connectChecked({ role: 'admin', lost: () => {} }, signal)
      return await work(connection)
    } catch (error) {
      throw classifyError(error, operation, topic)
    } finally {
      connection?.close()
    }
  }
}

/** A key that isn't a stream was not created by this transport, and must not be deleted by it. */
async function requireStream(connection: Connection, key: string): Promise<void> {
  const kind = String(await connection.call('TYPE', key))
  if (kind === 'stream' || kind === 'none') return
  throw new StreamError(`key '${key}' holds a ${kind}, not a stream: it is not deleted`, {
    code: 'CONFLICT',
    transport: 'redis',
    operation: 'deleteTopic',
  })
}

async function scan(connection: Connection, pattern: string): Promise<string[]> {
  const found = new Set<string>()
  let cursor = '0'
  do {
    const [next, keys] = (await connection.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', 1000)) as [Buffer, Buffer[]]
    for (const key of keys) found.add(key.toString())
    cursor = next.toString()
  } while (cursor !== '0')
  return [...found]
}

function escapeGlob(text: string): string {
  return text.replaceAll(/[\\*?[\]]/g, '\\$&')
}
