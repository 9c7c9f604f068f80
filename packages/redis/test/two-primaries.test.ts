import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'

let first: BrokerHandle
let second: BrokerHandle

beforeEach(async () => {
  first = await startBroker('redis', { config: ['repl-diskless-sync-delay 0'] })
  second = await startBroker('redis', {
    config: [`replicaof 127.0.0.1 ${first.ports['redis']}`, 'repl-diskless-sync-delay 0'],
  })
  const replica = plainClient(second.url)
  await until(async () => (await replica.info('replication')).includes('master_link_status:up'))
})

afterEach(async () => {
  await Promise.all([first?.remove(), second?.remove()])
})

const place = (broker: BrokerHandle): string => `127.0.0.1:${broker.ports['redis']}`
const bothHosts = (): string => `redis://${place(first)},${place(second)}`
const promote = (broker: BrokerHandle): Promise<unknown> => plainClient(broker.url).replicaof('NO', 'ONE')
const demote = (broker: BrokerHandle, to: BrokerHandle): Promise<unknown> =>
  plainClient(broker.url).replicaof('127.0.0.1', to.ports['redis'] as number)

test('an old primary that comes back with its old configuration gets nothing: UNAVAILABLE, with both names, until one is left', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const transport = openRedis(bothHosts())
  const loop = transport.consumer(topic, { group })
  const seen: unknown[] = []
  void loop.handle((message) => void seen.push(message.value)).run()
  await loop.init()
  const producer = transport.producer<number>(topic, { sendTimeoutMs: 60_000 })
  await producer.send(0)
  await plainClient(first.url).wait(1, 5_000)
  await first.kill()
  await promote(second)
  await first.start()
  await expect(openRedis(bothHosts()).admin.topics()).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    retryable: true,
    message: expect.stringMatching(`${place(first)} and ${place(second)} both say that they are the primary`),
  })
  const sends = Array.from({ length: 200 }, (_, number) => producer.send(number + 1))
  // Unless it has come back while the new one was alone.
  await until(() => producer.stats().connected || transport.lines.some((line) => line.includes('both say')))
  expect(await plainClient(first.url).xlen(topic), 'nothing is written to the old one').toBe(1)
  await demote(first, second)
  await Promise.all(sends)
  await until(() => new Set(seen).size === 201)
  expect(await plainClient(second.url).xlen(topic)).toBe(201)
})

test('a second primary beside the one in use is noticed by the probe', async () => {
  const [topic, group] = [unique('topic'), unique('group')]
  const transport = openRedis(bothHosts())
  const loop = transport.consumer(topic, { group, probeIntervalMs: 100 })
  const seen: unknown[] = []
  void loop.handle((message) => void seen.push(message.value)).run()
  await loop.init()
  const producer = transport.producer(topic, { probeIntervalMs: 100 })
  await producer.send('before')
  await until(() => seen.length === 1)
  await promote(second)
  await until(() => !producer.stats().connected && !loop.stats().connected)
  const send = producer.send('after')
  await demote(second, first)
  await send
  await until(() => seen.includes('after'))
  expect(await plainClient(first.url).xlen(topic)).toBe(2)
})

test('a host that is down or frozen, and one server under two names, are no second primary', async () => {
  const aliases = openRedis(`redis://${place(first)},localhost:${first.ports['redis']},${place(second)}`)
  await aliases.producer(unique('topic')).send(1)
  second.pause()
  await openRedis(bothHosts()).producer(unique('topic')).send(2)
  second.resume()
  await second.kill()
  await openRedis(bothHosts()).producer(unique('topic')).send(3)
})
