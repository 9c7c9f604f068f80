import { nativeNames } from '@streamswitch/testkit'
import { describe, expect, test } from 'vitest'
import redis from '../src/index.js'
import { keyBase } from '../src/keys.js'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'
import { redisCli } from './redis-cli.js'

const cli = (...words: string[]): Promise<string> => redisCli(brokerUrl, words)

for (const topic of ['app:orders:', '{app}: ö ']) {
  describe(topic, () => {
    nativeNames({
      adapter: redis,
      url: () => brokerUrl,
      names: { topic, group: 'Billing: {Service} ' },
      create: async (name) => {
        await cli('XADD', name, '1-1', 'payload', '0')
        await cli('XDEL', name, '1-1')
        // These have nothing to do with it.
        await cli('XADD', `${name}:0`, '*', 'a', 'b')
        await cli('XADD', `${name}:5`, '*', 'a', 'b')
      },
      write: async (name, body) => void (await cli('XADD', name, '*', 'payload', body.toString())),
      remove: async (name) => void (await cli('DEL', name, `${name}:0`, `${name}:5`)),
    })
  })
}

test('a stream of others stays as it is: nothing is noted of it, its age is not bounded, and its neighbours are not deleted', async () => {
  const name = `app:${unique('orders')}`
  const client = plainClient(brokerUrl)
  for (const key of [name, `${name}:0`]) await client.xadd(key, '1-1', 'payload', '1')
  const transport = openRedis(brokerUrl, { topics: { orders: { name } }, retentionIntervalMs: 100 })
  await expect(transport.producer('orders', { partitions: 2 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  const seen: unknown[] = []
  const loop = transport.consumer('orders', { group: 'g', retention: { maxAgeMs: 1 } })
  loop.handle(({ id }) => void seen.push(id))
  await loop.init()
  void loop.run()
  await until(() => seen.length === 1)
  expect(seen).toEqual([`${name}/0/1-1`])
  expect(await client.exists(`ss:{${name}}:meta`)).toBe(0)
  expect(await client.exists(`ss:{${name}}:lease:g`)).toBe(1)
  await loop.close()
  expect(await client.xlen(name)).toBe(1)
  await transport.admin.deleteTopic(transport.topicSpec('orders'))
  expect(await client.exists(name, `ss:{${name}}:lease:g`)).toBe(0)
  expect(await client.xlen(`${name}:0`)).toBe(1)
  await client.del(`${name}:0`)
})

test('a topic of ours that has several streams is found by its native name, and created by it where that is asked for', async () => {
  const name = `App:${unique('orders')}`
  const creating = openRedis(brokerUrl, { provision: 'create', topics: { orders: { name } } })
  await creating.producer('orders', { partitions: 3 }).init()
  const transport = openRedis(brokerUrl, { topics: { other: { name } } })
  expect(await transport.admin.provision(transport.topicSpec('other'))).toEqual({ topic: 'other', partitions: 3 })
  expect((await transport.producer('other').send(1, { partition: 2 })).partition).toBe(2)
  await transport.admin.deleteTopic(transport.topicSpec('other'))
  await expect(transport.producer('other').init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('keys that belong to a stream are in its slot, and no two streams share one', async () => {
  const names = ['a', 'a:b', 'a{b', '{a}', '{a}b', 'x{a}y}z', 'a_X7Db', '{a}_X']
  expect(new Set(names.map(keyBase)).size).toBe(names.length)
  expect([keyBase('a:b'), keyBase('a{b'), keyBase('{a}b')]).toEqual(['ss:{a:b}', 'ss:{a{b}', 'ss:{a}_X7Ba_X7Db'])
  const transport = openRedis(brokerUrl)
  for (const nativeName of ['a}b', '{}a', '{}{a}'])
    expect(() => transport.producer('orders', { nativeName })).toThrow(/must have no '}' outside of a hash tag/)
})
