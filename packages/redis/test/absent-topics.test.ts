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

const QUICK = { heartbeatMs: 100, leaseMs: 1_000, claimIdleMs: 600 }

/** A loop over two topics that it may not create. */
async function running(provision: 'none' | 'verify', ordering: 'key' | 'none') {
  const [kept, deleted] = [unique('kept'), unique('deleted')]
  const client = plainClient(broker.url)
  const make = async (topic: string): Promise<void> => {
    const transport = openRedis(broker.url)
    await transport.consumer(topic, { group: 'g', partitions: 2 }).init()
    await transport.close()
  }
  for (const topic of [kept, deleted]) await make(topic)
  const loop = openRedis(broker.url, { ...QUICK, provision }).consumer([kept, deleted], {
    group: 'g',
    ordering,
    ...(provision === 'none' ? { partitions: 2 } : {}),
  })
  const [seen, errors]: [unknown[], Error[]] = [[], []]
  loop.on('error', (error) => void errors.push(error))
  void loop.handle((message) => void seen.push(message.value)).run()
  await loop.init()
  const remove = async (): Promise<void> => void (await client.del(...(await client.keys(`*${deleted}*`))))
  const send = async (topic: string, value: string): Promise<void> => {
    const producer = openRedis(broker.url).producer(topic)
    await Promise.all([0, 1].map((partition) => producer.send(`${value} ${partition}`, { partition })))
    await producer.close()
    await until(() => [0, 1].every((partition) => seen.includes(`${value} ${partition}`)))
  }
  return { loop, kept, deleted, errors, client, make, remove, send }
}

describe('one topic of a list is deleted, and may not be created', () => {
  test.each([
    ['none', 'key'],
    ['none', 'none'],
    ['verify', 'key'],
    ['verify', 'none'],
  ] as const)(
    "provision '%s', ordering '%s': the others go on, it is reported once, and read again when it is back",
    async (provision, ordering) => {
      const { loop, kept, deleted, errors, client, make, remove, send } = await running(provision, ordering)
      await send(kept, 'first')
      await send(deleted, 'first')
      await remove()
      await until(() => errors.some((error) => error.message.includes(deleted)))
      await send(kept, 'second')
      expect(errors).toHaveLength(1)
      expect(errors[0]).toMatchObject({ code: 'NOT_FOUND', topic: deleted })
      expect(loop.stats()).toMatchObject({ connected: true, reconnects: 0 })
      await client.call('CLIENT', 'KILL', 'TYPE', 'NORMAL', 'SKIPME', 'YES')
      await send(kept, 'third')
      expect(await client.exists(`${deleted}:0`, `${deleted}:1`)).toBe(0)
      await make(deleted)
      await send(deleted, 'fourth')
      await send(kept, 'fourth')
    },
  )

  test('a loop that starts without it is refused', async () => {
    const { kept } = await running('none', 'key')
    const loop = openRedis(broker.url, { provision: 'verify' }).consumer([kept, unique('never')], { group: 'g' })
    await expect(loop.init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('with create it is created again', async () => {
    const [kept, deleted] = [unique('kept'), unique('deleted')]
    const client = plainClient(broker.url)
    const loop = openRedis(broker.url, QUICK).consumer([kept, deleted], { group: 'g', partitions: 2 })
    const seen: unknown[] = []
    void loop.handle((message) => void seen.push(message.value)).run()
    await loop.init()
    await client.del(...(await client.keys(`*${deleted}*`)))
    await until(async () => (await client.exists(`${deleted}:0`, `${deleted}:1`, `ss:{${deleted}}:meta`)) === 3)
    await openRedis(broker.url).producer(deleted).send('again')
    await until(() => seen.includes('again'))
  })
})

test('lag() while the server is away is UNAVAILABLE, whichever moment it falls into', async () => {
  const own = await startBroker('redis')
  try {
    const loop = openRedis(own.url, QUICK).consumer(unique('topic'), { group: 'g', partitions: 4 })
    void loop.handle(() => {}).run()
    await loop.init()
    expect(await loop.lag()).toHaveLength(4)
    const codes = new Set<unknown>()
    const ask = (): Promise<unknown> => loop.lag().catch((error: { code: unknown }) => codes.add(error.code))
    const asking = Array.from({ length: 20 }, ask)
    await Promise.all([own.kill(), ...asking])
    await until(async () => {
      await ask()
      return !loop.stats().connected
    })
    await ask()
    expect([...codes]).toEqual(['UNAVAILABLE'])
    await own.start()
    await until(() => loop.stats().connected)
    expect(await loop.lag()).toHaveLength(4)
  } finally {
    await own.remove()
  }
})
