import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('redis')
})

afterAll(async () => {
  await broker.remove()
})

const QUICK = { heartbeatMs: 100, leaseMs: 1_000 }
const metaOf = (topic: string): string => `ss:{${topic}}:meta`

/** A topic of four partitions with a message in each, and nothing that would restore its metadata. */
async function makeTopic(): Promise<string> {
  const topic = unique('topic')
  const transport = openRedis(broker.url)
  const producer = transport.producer<number>(topic, { partitions: 4 })
  await Promise.all([0, 1, 2, 3].map((partition) => producer.send(partition, { partition })))
  await transport.close()
  return topic
}

const atLeast = (count: number) =>
  expect.objectContaining({
    code: 'CONFLICT',
    retryable: false,
    message: expect.stringContaining(`at least ${count} partitions`),
  })

describe('metadata that are gone while streams exist', () => {
  test('nobody guesses the number of partitions: CONFLICT, whatever the provision, for producer, loop and admin', async () => {
    const topic = await makeTopic()
    await plainClient(broker.url).del(metaOf(topic))
    for (const provision of ['create', 'verify', 'none'] as const) {
      const transport = openRedis(broker.url, { provision })
      await expect(transport.producer(topic).init()).rejects.toEqual(atLeast(4))
      await expect(transport.consumer(topic, { group: 'g' }).init()).rejects.toEqual(atLeast(4))
      await expect(transport.admin.lag(transport.topicSpec(topic), 'g')).rejects.toEqual(atLeast(4))
    }
    expect(await plainClient(broker.url).exists(topic, metaOf(topic))).toBe(0)
  })

  test('a number that a stream lies above is refused; one that is large enough restores them, with create alone', async () => {
    const topic = await makeTopic()
    const client = plainClient(broker.url)
    await client.del(metaOf(topic))
    const transport = openRedis(broker.url)
    for (const partitions of [1, 2, 3])
      await expect(transport.producer(topic, { partitions }).init()).rejects.toEqual(atLeast(4))
    const verifying = openRedis(broker.url, { provision: 'verify' })
    await expect(verifying.producer(topic, { partitions: 4 }).init()).rejects.toEqual(atLeast(4))
    await transport.producer(topic, { partitions: 4 }).init()
    expect(await client.hget(metaOf(topic), 'partitions')).toBe('4')
    expect((await openRedis(broker.url).producer(topic).send(1, { partition: 3 })).partition).toBe(3)
  })

  test('the highest stream is a lower bound: with the upper ones gone too, a larger number restores', async () => {
    const topic = await makeTopic()
    const client = plainClient(broker.url)
    await client.del(metaOf(topic), `${topic}:1`, `${topic}:2`, `${topic}:3`)
    const transport = openRedis(broker.url)
    await expect(transport.producer(topic).init()).rejects.toEqual(atLeast(2))
    await transport.consumer(topic, { group: 'g', partitions: 4 }).init()
    expect(await client.hget(metaOf(topic), 'partitions')).toBe('4')
  })

  test('of a topic with thousands of partitions the highest stream is found', async () => {
    const topic = unique('topic')
    const client = plainClient(broker.url)
    const adding = client.pipeline()
    for (let number = 0; number < 2_345; number += 10) adding.xadd(`${topic}:${number}`, '*', 'payload', '1')
    await adding.exec()
    await expect(openRedis(broker.url).producer(topic).init()).rejects.toEqual(atLeast(2_341))
  })

  test('a topic whose name ends like a partition of another one is no partition of it', async () => {
    const topic = unique('topic')
    const client = plainClient(broker.url)
    await client.hset(metaOf(`${topic}:7`), { v: '1', partitions: '1' })
    await client.xadd(`${topic}:7`, '*', 'payload', '1')
    await openRedis(broker.url).producer(topic).init()
    expect(await client.hget(metaOf(topic), 'partitions')).toBe('1')
  })

  test('deleting such a topic deletes its streams', async () => {
    const topic = await makeTopic()
    const client = plainClient(broker.url)
    await client.del(metaOf(topic))
    const transport = openRedis(broker.url)
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    expect(await client.keys(`*${topic}*`)).toEqual([])
  })
})

describe('damaged metadata', () => {
  test.each(['', 'four', '0', '-4', '4.5', '1e3', '99999'])(
    'partitions %j: CONFLICT until the number is given',
    async (value) => {
      const topic = await makeTopic()
      const client = plainClient(broker.url)
      await client.hset(metaOf(topic), 'partitions', value)
      await expect(openRedis(broker.url).producer(topic).init()).rejects.toEqual(atLeast(4))
      await openRedis(broker.url).producer(topic, { partitions: 4 }).init()
      expect(await client.hget(metaOf(topic), 'partitions')).toBe('4')
      const empty = unique('topic')
      await client.hset(metaOf(empty), 'partitions', value)
      await expect(openRedis(broker.url).producer(empty).init()).rejects.toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining('damaged'),
      })
    },
  )

  test('a key of another type is CONFLICT and left as it is', async () => {
    const topic = await makeTopic()
    const client = plainClient(broker.url)
    await client.set(metaOf(topic), 'text')
    for (const partitions of [undefined, 4]) {
      await expect(openRedis(broker.url).producer(topic, { partitions }).init()).rejects.toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining('is a string, not a hash'),
      })
    }
    expect(await client.get(metaOf(topic))).toBe('text')
  })
})

describe('a running loop', () => {
  async function running(options: Readonly<Record<string, unknown>> = {}, ordering: 'key' | 'none' = 'key') {
    const topic = await makeTopic()
    const client = plainClient(broker.url)
    for (let number = 0; number < 4; number += 1) await client.xgroup('CREATE', `${topic}:${number}`, 'g', '0')
    const transport = openRedis(broker.url, { ...QUICK, ...options })
    const loop = transport.consumer(topic, { group: 'g', ordering })
    const [seen, errors]: [unknown[], Error[]] = [[], []]
    loop.on('error', (error) => void errors.push(error))
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await until(() => seen.length === 4)
    const reported = (text: string): boolean => errors.some(({ message }) => message.includes(text))
    return { topic, loop, seen, errors, reported }
  }

  test.each(['key', 'none'] as const)(
    'ordering %s: restores what was deleted, expired, damaged or renamed, and reports it',
    async (ordering) => {
      const { topic, seen, errors } = await running({}, ordering)
      const client = plainClient(broker.url)
      const harm = [
        () => client.del(metaOf(topic)),
        () => client.pexpire(metaOf(topic), 1),
        () => client.hset(metaOf(topic), 'partitions', 'x'),
        () => client.rename(metaOf(topic), unique('elsewhere')),
      ]
      for (const [index, doHarm] of harm.entries()) {
        await doHarm()
        await until(async () => (await client.hget(metaOf(topic), 'partitions')) === '4' && errors.length === index + 1)
      }
      expect(errors.every((error) => error.message.includes('have been restored'))).toBe(true)
      await openRedis(broker.url).producer(topic).send('late', { partition: 2 })
      await until(() => seen.includes('late'))
    },
  )

  test('without create it only reports, once', async () => {
    const { topic, loop, errors, reported } = await running({ provision: 'verify' })
    const client = plainClient(broker.url)
    await client.del(metaOf(topic))
    await until(() => reported('are missing'))
    await client.set(metaOf(topic), 'text')
    await until(() => reported('not a hash'))
    expect(errors).toHaveLength(2)
    expect(loop.stats().connected).toBe(true)
  })

  test('FLUSHDB: streams, group and metadata are there again, and what is sent then is handled', async () => {
    const { topic, seen } = await running()
    const client = plainClient(broker.url)
    await client.flushdb()
    await until(async () => (await client.hget(metaOf(topic), 'partitions')) === '4')
    const producer = openRedis(broker.url).producer(topic)
    await Promise.all([0, 1, 2, 3].map((partition) => producer.send(`again ${partition}`, { partition })))
    await until(() => [0, 1, 2, 3].every((partition) => seen.includes(`again ${partition}`)))
  })

  test('everything is lost with a restart: who comes back first creates the topic with as many partitions as before', async () => {
    const own = await startBroker('redis', { config: ['appendonly no'] })
    try {
      const topic = unique('topic')
      const first = openRedis(own.url)
      await first.producer(topic, { partitions: 4 }).init()
      await first.close()
      const producer = openRedis(own.url).producer(topic, { sendTimeoutMs: 60_000 })
      await producer.init()
      const loop = openRedis(own.url, QUICK).consumer(topic, { group: 'g' })
      const seen: unknown[] = []
      void loop.handle((message) => void seen.push(message.value)).run()
      await loop.init()
      await own.kill()
      await until(() => !producer.stats().connected && !loop.stats().connected)
      await own.start()
      expect((await producer.send('last', { partition: 3 })).partition).toBe(3)
      await until(() => seen.includes('last'))
      expect(await plainClient(own.url).hget(metaOf(topic), 'partitions')).toBe('4')
    } finally {
      await own.remove()
    }
  })

  test('a topic that was deleted and created with another number: loop and producer take it up', async () => {
    const { topic, seen } = await running()
    const sender = openRedis(broker.url).producer(topic, { probeIntervalMs: 50 })
    await sender.init()
    const client = plainClient(broker.url)
    await client
      .multi()
      .del(metaOf(topic), ...[0, 1, 2, 3].map((number) => `${topic}:${number}`))
      .hset(metaOf(topic), { v: '1', partitions: '2' })
      .exec()
    await until(async () => {
      const { partition } = await sender.send('new', { key: 'k' })
      return partition !== undefined && partition < 2 && seen.includes('new')
    })
  })
})

test.each(['allkeys-lru', 'volatile-ttl'])('a server with maxmemory-policy %s is warned about once', async (policy) => {
  const client = plainClient(broker.url)
  await client.config('SET', 'maxmemory-policy', policy)
  try {
    const transport = openRedis(broker.url)
    await transport.producer(unique('topic')).init()
    await transport.producer(unique('topic')).init()
    expect(transport.lines.filter((line) => line.includes(`maxmemory-policy ${policy}`))).toHaveLength(1)
  } finally {
    await client.config('SET', 'maxmemory-policy', 'noeviction')
  }
})
