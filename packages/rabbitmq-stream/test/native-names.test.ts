import { nativeNames } from '@streamswitch/testkit'
import { type Channel, connect } from 'amqplib'
import { expect, test } from 'vitest'
import rabbitmqStream from '../src/index.js'
import { openStream, unique, until } from './support/bench.js'
import { AMQP_URL, BROKER_URL } from './support/broker.js'
import { publishForeign } from './support/foreign.js'

async function administer(work: (channel: Channel) => Promise<unknown>): Promise<void> {
  const connection = await connect(AMQP_URL)
  try {
    await work(await connection.createChannel())
  } finally {
    await connection.close()
  }
}

const asStream = { durable: true, arguments: { 'x-queue-type': 'stream' } }

nativeNames({
  adapter: rabbitmqStream,
  url: () => BROKER_URL,
  names: { topic: 'App Orders: é ', group: 'Billing Service:' },
  create: (name) => administer((channel) => channel.assertQueue(name, asStream)),
  write: (name, body) => publishForeign(name, [{ body }]),
})

test('a super stream of others: its streams and keys may have any names, and several keys may lead to one', async () => {
  const name = `Orders of ${unique('regions')}`
  const streams = [`${name}/Europe`, `East ${name}`]
  const bindings: [string, string, number][] = [
    [streams[0] as string, 'emea', 0],
    [streams[0] as string, 'Amer*', 0],
    [streams[1] as string, 'apac', 1],
  ]
  await administer(async (channel) => {
    await channel.assertExchange(name, 'direct', { durable: true, arguments: { 'x-super-stream': true } })
    for (const stream of streams) await channel.assertQueue(stream, asStream)
    for (const [stream, key, order] of bindings)
      await channel.bindQueue(stream, name, key, { 'x-stream-partition-order': order })
  })
  const transport = openStream({ topics: { orders: { name } } })
  await expect(transport.producer('orders', { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  const seen: string[] = []
  const loop = transport.consumer<string>('orders', { group: 'billing', partitions: 2 })
  loop.handle(({ value, partition }) => void seen.push(`${partition} ${value}`))
  await loop.init()
  void loop.run()
  const byKey = { 'rabbitmq-stream': { bindingKeys: ['emea', 'Amer*', 'apac'] } }
  const producer = transport.producer<string>('orders', byKey)
  for (const key of byKey['rabbitmq-stream'].bindingKeys) await producer.send(key, { key })
  await publishForeign(streams[1] as string, [{ body: Buffer.from('"foreign"') }])
  await until(() => seen.length === 4)
  expect(seen.sort()).toEqual(['0 Amer*', '0 emea', '1 apac', '1 foreign'])
  await loop.close()
  await administer(async (channel) => {
    await channel.deleteExchange(name)
    for (const stream of streams) await channel.deleteQueue(stream)
  })
})

test('names that the broker, or what is kept of groups, leaves no room for are refused before anything is sent', () => {
  const transport = openStream()
  const topic = (nativeName: string) => () => transport.producer('orders', { nativeName })
  const group = (nativeGroup: string) => () => transport.consumer('orders', { group: 'g', nativeGroup })
  expect(topic('é'.repeat(128))).toThrow(/at most 255 bytes/)
  expect(topic('amq.orders')).toThrow(/must not begin with 'amq\.'/)
  expect(group('billing:epoch')).toThrow(/other records of a group/)
  expect(group('g'.repeat(241))).toThrow(/at most 240 bytes/)
})
