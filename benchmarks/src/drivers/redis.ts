import redis from '@streamswitch/redis'
import { Redis } from 'ioredis'
import { type Case, type Comparison, concurrently, freshName, PAYLOAD, timed } from '../harness.js'
import { consumeCase, produceCase } from '../streamswitch.js'

const BATCH = 500

/** ioredis by hand: one awaited call per message, and the best loop that keeps the same guarantees. */
export function redisComparisons(url: string): Comparison[] {
  const ours = { adapter: redis, url, messages: 100_000 }
  return [
    {
      title: 'Redis Streams, produce',
      reference: 'ioredis, tuned (pipelines of 500, 3 in flight)',
      cases: [
        naiveProduce(url),
        tunedProduce(url),
        produceCase(ours),
        produceCase({ ...ours, partitions: 4 }, 'Streamswitch, 4 partitions'),
      ],
    },
    {
      title: 'Redis Streams, consume a backlog',
      reference: 'ioredis, tuned (next read overlaps XACK, Buffers)',
      cases: [naiveConsume(url), tunedConsume(url), consumeCase(ours)],
    },
  ]
}

async function withClient<T>(url: string, body: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, { noDelay: true, maxRetriesPerRequest: null })
  try {
    return await body(client)
  } finally {
    client.disconnect()
  }
}

function naiveProduce(url: string): Case {
  return {
    name: 'ioredis, naive (await each XADD)',
    messages: 5_000,
    run: (messages) =>
      withClient(url, async (client) => {
        const stream = freshName()
        const seconds = await timed(() => concurrently(messages, 1, () => client.xadd(stream, '*', 'payload', PAYLOAD)))
        await client.del(stream)
        return seconds
      }),
  }
}

function tunedProduce(url: string): Case {
  return {
    name: 'ioredis, tuned (pipelines of 500, 3 in flight)',
    messages: 100_000,
    run: (messages) =>
      withClient(url, async (client) => {
        const stream = freshName()
        const seconds = await timed(() => concurrently(messages / BATCH, 3, () => pipelined(client, stream, BATCH)))
        await client.del(stream)
        return seconds
      }),
  }
}

async function pipelined(client: Redis, stream: string, count: number): Promise<void> {
  const pipeline = client.pipeline()
  for (let index = 0; index < count; index += 1)
    pipeline.xadd(stream, '*', 'id', `m-${index}`, 'timestamp', '1700000000000', 'payload', PAYLOAD)
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
}

async function backlog(client: Redis, messages: number): Promise<string> {
  const stream = freshName()
  for (let sent = 0; sent < messages; sent += BATCH) await pipelined(client, stream, Math.min(BATCH, messages - sent))
  await client.xgroup('CREATE', stream, 'bench', '0')
  return stream
}

function naiveConsume(url: string): Case {
  return {
    name: 'ioredis, naive (one entry per read, await each XACK)',
    messages: 5_000,
    run: (messages) =>
      withClient(url, async (client) => {
        const stream = await backlog(client, messages)
        const seconds = await timed(async () => {
          for (let handled = 0; handled < messages; handled += 1) {
            const reply = (await client.xreadgroup('GROUP', 'bench', 'me', 'COUNT', 1, 'STREAMS', stream, '>')) as [
              string,
              [string, string[]][],
            ][]
            await client.xack(stream, 'bench', reply[0]?.[1][0]?.[0] ?? '')
          }
        })
        await client.del(stream)
        return seconds
      }),
  }
}

function tunedConsume(url: string): Case {
  return {
    name: 'ioredis, tuned (next read overlaps XACK, Buffers)',
    messages: 100_000,
    run: (messages) =>
      withClient(url, (reader) =>
        withClient(url, async (acker) => {
          const stream = await backlog(reader, messages)
          const read = () =>
            reader.xreadgroupBuffer('GROUP', 'bench', 'me', 'COUNT', BATCH, 'STREAMS', stream, '>') as Promise<
              [Buffer, [Buffer, Buffer[]][]][] | null
            >
          const seconds = await timed(async () => {
            const acks: Promise<number>[] = []
            let next = read()
            for (let handled = 0; handled < messages; ) {
              const entries = (await next)?.[0]?.[1] ?? []
              next = read()
              handled += entries.length
              acks.push(acker.xack(stream, 'bench', ...entries.map(([id]) => id)))
            }
            await Promise.all(acks)
            await next
          })
          await reader.del(stream)
          return seconds
        }),
      ),
  }
}
