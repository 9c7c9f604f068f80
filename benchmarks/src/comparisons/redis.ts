import redis from '@streamswitch/redis'
import { Redis } from 'ioredis'
import {
  type Case,
  type Comparison,
  CountingHandler,
  concurrently,
  freshName,
  type Measured,
  PAYLOAD,
  timed,
} from '../measuring/case.js'
import { consumeCase, produceCase } from '../streamswitch.js'
import { redisBenchmark } from '../tools/redis-benchmark.js'

const BATCH = 500
const FIELD = Buffer.from('payload')
const LUA = 'ioredis by hand, tuned (Lua: 500 XADD per call, 2 calls in flight)'
const OVERLAPPED = 'ioredis by hand, tuned (Buffers, XACK of 500 while the next read runs)'
const APPEND = `for index = 1, #ARGV, 3 do
  redis.call('XADD', KEYS[1], '*', 'payload', ARGV[index], 'id', ARGV[index + 1], 'timestamp', ARGV[index + 2])
end`

/** ioredis by hand: one awaited call per message, and the best loops that keep the same guarantees. */
export function redisComparisons(url: string): Comparison[] {
  const ours = { adapter: redis, url, messages: 100_000 }
  return [
    {
      title: 'Redis Streams, produce',
      about:
        'One stream, entries with payload, id and timestamp, 1000 sends in flight (pipelines: 1500). Each is resolved by the reply of its XADD; the server syncs its append-only file every second.',
      reference: LUA,
      cases: [
        naiveProduce(url),
        tunedProduce(url, 'ioredis by hand, tuned (pipelines of 500, 3 in flight)', 3, pipelined),
        tunedProduce(url, LUA, 2, scripted),
        produceCase(ours),
        produceCase({ ...ours, partitions: 4 }, 'Streamswitch, 4 partitions'),
        redisBenchmark(url),
      ],
    },
    {
      title: 'Redis Streams, consume a backlog',
      about:
        'One group on one stream; every entry is acked after it was handled, and the clock stops when the server has taken the last ack.',
      reference: OVERLAPPED,
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

/** Connected, with a stream's name; the stream is deleted afterwards. */
function withStream(url: string, body: (client: Redis, stream: string) => Promise<Measured>): Promise<Measured> {
  return withClient(url, async (client) => {
    const stream = freshName()
    await client.ping()
    try {
      return await body(client, stream)
    } finally {
      await client.del(stream)
    }
  })
}

function naiveProduce(url: string): Case {
  return {
    name: 'ioredis, naive (await each XADD)',
    messages: 5_000,
    run: (messages) =>
      withStream(url, (client, stream) =>
        timed(() =>
          concurrently(messages, 1, (index) =>
            client.xadd(stream, '*', 'payload', PAYLOAD, 'id', `m-${index}`, 'timestamp', String(Date.now())),
          ),
        ),
      ),
  }
}

type Append = (client: Redis, stream: string, first: number, count: number) => Promise<void>

function tunedProduce(url: string, name: string, inFlight: number, append: Append): Case {
  return {
    name,
    messages: 100_000,
    run: (messages) =>
      withStream(url, (client, stream) =>
        timed(() =>
          concurrently(Math.ceil(messages / BATCH), inFlight, (index) =>
            append(client, stream, index * BATCH, Math.min(BATCH, messages - index * BATCH)),
          ),
        ),
      ),
  }
}

async function pipelined(client: Redis, stream: string, first: number, count: number): Promise<void> {
  const pipeline = client.pipeline()
  const timestamp = String(Date.now())
  for (let index = first; index < first + count; index += 1)
    pipeline.xadd(stream, '*', 'payload', PAYLOAD, 'id', `m-${index}`, 'timestamp', timestamp)
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error
}

async function scripted(client: Redis, stream: string, first: number, count: number): Promise<void> {
  const values: (string | Buffer)[] = []
  const timestamp = String(Date.now())
  for (let index = first; index < first + count; index += 1) values.push(PAYLOAD, `m-${index}`, timestamp)
  await client.eval(APPEND, 1, stream, ...values)
}

async function backlog(client: Redis, stream: string, messages: number): Promise<void> {
  for (let sent = 0; sent < messages; sent += BATCH)
    await pipelined(client, stream, sent, Math.min(BATCH, messages - sent))
  await client.xgroup('CREATE', stream, 'bench', '0')
}

function naiveConsume(url: string): Case {
  return {
    name: 'ioredis, naive (one entry per read, await each XACK)',
    messages: 5_000,
    run: (messages) =>
      withStream(url, async (client, stream) => {
        await backlog(client, stream, messages)
        return timed(async () => {
          for (let handled = 0; handled < messages; handled += 1) {
            const reply = (await client.xreadgroup('GROUP', 'bench', 'me', 'COUNT', 1, 'STREAMS', stream, '>')) as [
              string,
              [string, string[]][],
            ][]
            await client.xack(stream, 'bench', reply[0]?.[1][0]?.[0] ?? '')
          }
        })
      }),
  }
}

function tunedConsume(url: string): Case {
  return {
    name: OVERLAPPED,
    messages: 100_000,
    run: (messages) =>
      withStream(url, (reader, stream) =>
        withClient(url, async (acker) => {
          await backlog(reader, stream, messages)
          await acker.ping()
          const read = () =>
            reader.xreadgroupBuffer('GROUP', 'bench', 'me', 'COUNT', BATCH, 'STREAMS', stream, '>') as Promise<
              [Buffer, [Buffer, Buffer[]][]][] | null
            >
          return timed(async () => {
            const acks: Promise<number>[] = []
            const handler = new CountingHandler()
            let next = read()
            while (handler.messages < messages) {
              const entries = (await next)?.[0]?.[1] ?? []
              next = read()
              for (const [, fields] of entries)
                handler.handle(fields[fields.findIndex((name) => name.equals(FIELD)) + 1] as Buffer)
              acks.push(acker.xack(stream, 'bench', ...entries.map(([id]) => id)))
            }
            await Promise.all(acks)
            await next
          })
        }),
      ),
  }
}
