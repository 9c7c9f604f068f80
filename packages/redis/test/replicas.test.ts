import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { firstHandlings, openRedis, plainClient, type Seen, seenOf, unique, until } from './bench.js'

const QUICK = { leaseMs: 1_000, heartbeatMs: 200 }

let primary: BrokerHandle
let replica: BrokerHandle

beforeEach(async () => {
  primary = await startBroker('redis', { config: ['repl-diskless-sync-delay 0'] })
  replica = await startBroker('redis', { config: [`replicaof 127.0.0.1 ${primary.ports['redis']}`] })
  const client = plainClient(replica.url)
  await until(async () => String(await client.info('replication')).includes('master_link_status:up'))
})

afterEach(async () => {
  await replica?.remove()
  await primary?.remove()
})

const hosts = (...ports: readonly (number | undefined)[]): string =>
  `redis://${ports.map((port) => `127.0.0.1:${port}`).join(',')}`

test('durability { replicas }: sent means that a replica has it; one that lags is waited for, and nothing is stored twice', async () => {
  const topic = unique('topic')
  const transport = openRedis(primary.url, { durability: { replicas: 1 }, durabilityTimeoutMs: 200 })
  const producer = transport.producer<number>(topic)
  const copy = plainClient(replica.url)
  for (let number = 0; number < 50; number += 1) {
    await producer.send(number)
    expect(await copy.xlen(topic), 'the replica has it when send resolves').toBe(number + 1)
  }
  replica.pause()
  const late = producer.send(50)
  await until(() => transport.lines.some((line) => line.includes('0 of 1 replicas had it')))
  replica.resume()
  await late
  expect(await copy.xlen(topic)).toBe(51)
})

test('of several hosts the primary is used, whatever their order and whichever of them is down', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const dead = await findFreePort()
  const transport = openRedis(hosts(dead, replica.ports['redis'], primary.ports['redis']))
  const seen: Seen[] = []
  const loop = transport.consumer(topic, { group })
  void loop.handle((message) => void seen.push(seenOf(message))).run()
  await loop.init()
  await transport.producer<number>(topic).send(1)
  await until(() => seen.length === 1)
  expect(await plainClient(primary.url).xlen(topic)).toBe(1)
  const none = openRedis(hosts(dead, replica.ports['redis'])).producer(topic, { connectTimeoutMs: 500 })
  await expect(none.init()).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    message: expect.stringContaining('read-only replica'),
  })
})

test('the primary is killed and its replica promoted: producer and loop go on there, in order, with all that had been replicated', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const transport = openRedis(hosts(primary.ports['redis'], replica.ports['redis']), QUICK)
  const producer = transport.producer<number>(topic, { partitions: 2, sendTimeoutMs: 25_000 })
  await producer.init()
  const seen: Seen[] = []
  const loop = transport.consumer<number>(topic, { group })
  void loop.handle((message) => void seen.push(seenOf(message))).run()
  await loop.init()
  const send = (from: number): Promise<unknown>[] =>
    Array.from({ length: 200 }, (_, index) => producer.send(from + index, { key: `k${(from + index) % 8}` }))
  await Promise.all(send(0))
  const original = plainClient(primary.url)
  expect(await original.wait(1, 5_000), 'the replica has all of it').toBe(1)
  await primary.kill()
  const during = send(200)
  await plainClient(replica.url).replicaof('NO', 'ONE')
  await Promise.all(during)
  await until(() => new Set(seen.map(({ value }) => value)).size === 400)
  for (const [key, values] of firstHandlings(seen)) {
    expect(values, key).toEqual([...values].sort((left, right) => left - right))
    expect(values, key).toHaveLength(50)
  }
  expect(loop.stats().reconnects).toBeGreaterThan(0)
})
