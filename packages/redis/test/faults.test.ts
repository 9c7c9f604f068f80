import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { firstHandlings, openRedis, plainClient, type Seen, seenOf, unique, until } from './bench.js'

let broker: BrokerHandle

beforeAll(async () => {
  broker = await startBroker('redis')
})

afterAll(async () => {
  await broker.remove()
})

const QUICK = { leaseMs: 1_000, heartbeatMs: 200, callTimeoutMs: 1_000 }
const PRODUCERS = 10
const EACH = 500

async function waitForFailure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  )
}

describe('faults', () => {
  test('the server is killed mid-stream: every confirmed message is handled, in order, and none is stored twice', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(broker.url, QUICK)
    const seen: Seen[] = []
    const producers = Array.from({ length: PRODUCERS }, () =>
      transport.producer<number>(topic, { partitions: 4, maxBatchRecords: 20, sendTimeoutMs: 25_000 }),
    )
    await Promise.all(producers.map((producer) => producer.init()))
    const loops = [0, 1].map(() => transport.consumer(topic, { group, concurrency: 16 }))
    for (const loop of loops) void loop.handle((message) => void seen.push(seenOf(message))).run()
    await Promise.all(loops.map((loop) => loop.init()))
    let confirmed = 0
    const sends = producers.flatMap((producer, index) =>
      Array.from({ length: EACH }, (_, number) =>
        producer.send(number, { key: `key-${index}` }).then(() => (confirmed += 1)),
      ),
    )
    await until(() => confirmed > (PRODUCERS * EACH) / 3)
    const unconfirmed = producers.reduce((sum, producer) => sum + producer.stats().buffered, 0)
    expect(unconfirmed, 'the kill hits sends that are under way').toBeGreaterThan(0)
    await broker.kill()
    await broker.start()
    await Promise.all(sends)
    expect(
      producers.some((producer) => producer.stats().resent > 0),
      'records were sent again',
    ).toBe(true)
    await until(() => new Set(seen.map((one) => one.id)).size === PRODUCERS * EACH)
    const expected = Array.from({ length: EACH }, (_, number) => number)
    for (const [key, numbers] of firstHandlings(seen)) expect(numbers, key).toEqual(expected)
    const client = plainClient(broker.url)
    const lengths = await Promise.all([0, 1, 2, 3].map((partition) => client.xlen(`${topic}:${partition}`)))
    expect(lengths.reduce((sum, length) => sum + length)).toBe(PRODUCERS * EACH)
  })

  test('connections are cut again and again under load: nothing is stored twice, nothing is out of order', async () => {
    const topic = unique('topic')
    const transport = openRedis(broker.url, QUICK)
    const producer = transport.producer<number>(topic, { maxBatchRecords: 10, sendTimeoutMs: 25_000 })
    await producer.init()
    const client = plainClient(broker.url)
    let confirmed = 0
    const total = 3_000
    const sends = Array.from({ length: total }, (_, number) =>
      producer.send(number, { key: 'k' }).then(() => (confirmed += 1)),
    )
    for (let cut = 1; cut <= 3; cut += 1) {
      await until(() => confirmed > (total * cut) / 5)
      await client.call('CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES')
    }
    await Promise.all(sends)
    expect(producer.stats().resent).toBeGreaterThan(0)
    const values = (await client.xrange(topic, '-', '+')).map(([, fields]) => Number(fields[1]))
    expect(values).toEqual(Array.from({ length: total }, (_, number) => number))
  })

  test('a server that freezes is noticed; after it goes on, everything does', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(broker.url, QUICK)
    const producer = transport.producer(topic, { publishTimeoutMs: 500 })
    const loop = transport.consumer(topic, { group })
    const seen: unknown[] = []
    let reconnecting = 0
    loop.on('reconnecting', () => (reconnecting += 1))
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await producer.send('before')
    await until(() => seen.length === 1)
    broker.pause()
    const during = producer.send('during')
    await until(() => reconnecting > 0 && producer.stats().connected === false)
    broker.resume()
    await during
    await until(() => seen.includes('during'))
    expect(seen.filter((value) => value === 'during')).toHaveLength(1)
  })

  test('the server is out of memory: sends wait, are told why, and go on when there is room', async () => {
    const topic = unique('topic')
    const client = plainClient(broker.url)
    const transport = openRedis(broker.url)
    const producer = transport.producer(topic)
    await producer.send('before')
    await client.config('SET', 'maxmemory', '1')
    try {
      const late = await waitForFailure(producer.send('refused', { timeoutMs: 300 }))
      expect(late).toMatchObject({ code: 'TIMEOUT' })
      expect(transport.lines.join('\n')).toContain('out of memory')
      const patient = producer.send('patient')
      await until(() => transport.lines.filter((line) => line.includes('out of memory')).length > 1)
      await client.config('SET', 'maxmemory', '0')
      await patient
    } finally {
      await client.config('SET', 'maxmemory', '0')
    }
  })

  test('the group is destroyed while the loop runs: it is made anew and nothing is skipped', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(broker.url)
    const transport = openRedis(broker.url, QUICK)
    const producer = transport.producer<number>(topic)
    const loop = transport.consumer(topic, { group, from: 'earliest' })
    const seen: unknown[] = []
    const errors: string[] = []
    loop.on('error', (error) => errors.push(error.message))
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await producer.send(1)
    await until(async () => seen.length === 1 && Number((await client.xpending(topic, group))[0]) === 0)
    await client.multi().xgroup('DESTROY', topic, group).xadd(topic, '*', 'payload', '2').exec()
    await until(() => seen.includes(2))
    await client.del(topic)
    await producer.send(3)
    await until(() => seen.includes(3))
    expect(errors.filter((message) => message.includes('was lost and has been recreated')).length).toBeGreaterThan(0)
  })

  test('all data is lost: topic and group are made anew, and the loop goes on', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const client = plainClient(broker.url)
    const transport = openRedis(broker.url, QUICK)
    const producer = transport.producer<number>(topic)
    const loop = transport.consumer(topic, { group })
    const seen: unknown[] = []
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await producer.send(1)
    await until(() => seen.length === 1)
    await client.flushall()
    await producer.send(2)
    await until(() => seen.includes(2))
  })
})
