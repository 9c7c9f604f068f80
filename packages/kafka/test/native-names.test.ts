import { nativeNames } from '@streamswitch/testkit'
import kafkajs, { type Admin } from 'kafkajs'
import { expect, it } from 'vitest'
import kafka from '../src/index.js'
import { brokerAddress, brokerUrl } from './support/broker.js'
import { kcat } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'

async function administer(work: (admin: Admin) => Promise<unknown>): Promise<void> {
  const admin = new kafkajs.Kafka({ brokers: [brokerAddress], logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    await work(admin)
  } finally {
    await admin.disconnect()
  }
}

async function create(topic: string, numPartitions = 2): Promise<void> {
  await administer((admin) => admin.createTopics({ topics: [{ topic, numPartitions }] }))
}

async function remove(topic: string): Promise<void> {
  await administer((admin) => admin.deleteTopics({ topics: [topic] }))
}

nativeNames({
  adapter: kafka,
  url: () => brokerUrl,
  names: { topic: 'Order_Xents.', group: 'Billing Service: ' },
  create,
  write: (topic, body) => kcat.write(topic, { body }, ''),
})

it('a native group goes on where another client of it has stopped', async () => {
  const [name, group] = [`OrderEvents-${uniqueTopic()}`, `Billing Service ${uniqueTopic()}`]
  await create(name, 1)
  for (const body of ['"one"', '"two"', '"three"']) await kcat.write(name, { body: Buffer.from(body) }, '')
  await administer((admin) =>
    admin.setOffsets({ groupId: group, topic: name, partitions: [{ partition: 0, offset: '2' }] }),
  )
  const transport = openTransport({ topics: { orders: { name } }, groups: { billing: { name: group } } })
  const seen: string[] = []
  const loop = transport.consumer<string>('orders', { group: 'billing' })
  loop.handle(({ id, value }) => void seen.push(`${id} ${value}`))
  await loop.init()
  void loop.run()
  await expect.poll(() => seen, { timeout: 20_000 }).toEqual([`${name}/0/2 three`])
  await loop.close()
  await remove(name)
})

it('partitions are checked against what exists, and names that Kafka takes no topic by are refused before anything is sent', async () => {
  const name = `OrderEvents-${uniqueTopic()}`
  await create(name)
  const transport = openTransport({ topics: { orders: { name }, odd: { name: 'app:orders' } } })
  await expect(transport.producer('orders', { partitions: 3 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
  await transport.producer('orders', { partitions: 2 }).init()
  expect(() => transport.producer('odd')).toThrow(
    /native name of topic 'odd' must be 1 to 249 characters .* as Kafka allows no others/,
  )
  expect(() => transport.consumer('long', { group: 'g', nativeName: 'x'.repeat(250) })).toThrow(/1 to 249/)
  await remove(name)
})
