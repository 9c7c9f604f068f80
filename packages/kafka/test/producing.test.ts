import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { brokerAddress } from './support/broker.js'
import { run } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'
import { openConnection } from './support/raw-member.js'

/** What a topic holds, as kcat prints it. */
async function contents(topic: string, count: number, format: string): Promise<string[]> {
  return (await run(['-C', '-q', '-t', topic, '-o', 'beginning', '-c', String(count), '-f', `${format}\\n`]))
    .toString()
    .trimEnd()
    .split('\n')
}

describe('a producer', () => {
  it('writes what the wire format says', async () => {
    const topic = uniqueTopic()
    const producer = openTransport().producer(topic)
    await producer.send({ ok: true }, { id: 'id-1', key: 'ключ', timestamp: 1_700_000_000_123, headers: { a: 'ü' } })
    await producer.send(undefined, { id: 'id-2', timestamp: 1_700_000_000_124 })
    expect(await contents(topic, 2, '%k|%S|%s|%T|%h')).toEqual([
      'ключ|11|{"ok":true}|1700000000123|a=ü,streamswitch-id=id-1',
      '|-1||1700000000124|streamswitch-id=id-2',
    ])
  })

  it('keeps a time that brokers refuse in a header', async () => {
    const topic = uniqueTopic()
    const before = Date.now()
    await openTransport().producer(topic).send(1, { id: 'later', timestamp: 4_000_000_000_000 })
    const [line = ''] = await contents(topic, 1, '%T|%h')
    expect(line).toMatch(/\|streamswitch-id=later,streamswitch-timestamp=4000000000000$/)
    expect(Number(line.split('|')[0])).toBeGreaterThanOrEqual(before)
  })

  it('compresses by gzip so that others can read it', async () => {
    const topic = uniqueTopic()
    const producer = openTransport({ compression: 'gzip' }).producer<string>(topic, { codec: 'text' })
    const values = Array.from({ length: 50 }, (_, index) => `${index} ${'again and '.repeat(50)}`)
    await Promise.all(values.map((value) => producer.send(value)))
    expect((await contents(topic, 50, '%s')).map((line) => line.trimEnd())).toEqual(
      values.map((value) => value.trimEnd()),
    )
  })

  it('sends the rest of a batch that holds a message too large for the topic', async () => {
    const topic = uniqueTopic()
    await openConnection().administer((admin) =>
      admin.createTopics({
        topics: [{ topic, numPartitions: 1, configEntries: [{ name: 'max.message.bytes', value: '20000' }] }],
      }),
    )
    const producer = openTransport().producer<string>(topic, { codec: 'text', lingerMs: 20 })
    const sizes = [100, 30_000, 200, 40_000, 300]
    const results = await Promise.allSettled(sizes.map((size) => producer.send('x'.repeat(size))))
    expect(
      results.map((result) => (result.status === 'fulfilled' ? 'stored' : (result.reason as { code: string }).code)),
    ).toEqual(['stored', 'TOO_LARGE', 'stored', 'TOO_LARGE', 'stored'])
    expect(await contents(topic, 3, '%S')).toEqual(['100', '200', '300'])
  })

  it('makes its topic anew when somebody has deleted it', async () => {
    const topic = uniqueTopic()
    const transport = openTransport()
    const producer = transport.producer<number>(topic, { partitions: 2 })
    await producer.send(1)
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    expect((await producer.send(2)).offset).toBe('0')
    expect(await transport.admin.topics()).toContainEqual({ topic, partitions: 2 })
  })

  it('is refused, without being made, where topics are to be verified', async () => {
    const topic = uniqueTopic()
    const transport = openTransport({ provision: 'verify' })
    await expect(transport.producer(topic).init()).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect((await transport.admin.topics()).map((one) => one.topic)).not.toContain(topic)
  })

  it('is refused where the topic has another number of partitions', async () => {
    const topic = uniqueTopic()
    const transport = openTransport()
    await transport.producer(topic, { partitions: 3 }).init()
    await expect(transport.producer(topic, { partitions: 4 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(transport.producer(topic).init()).resolves.toBeUndefined()
  })
})

describe('provisioning', () => {
  it('sets the retention that was asked for, and keeps dead letters', async () => {
    const topic = uniqueTopic()
    const transport = openTransport()
    await transport.admin.provision(
      transport.topicSpec(topic, { retention: { maxAgeMs: 3_600_000, maxBytes: 1_000_000 } }),
    )
    await transport.admin.provision(transport.topicSpec(`${topic}.dlq`, { role: 'dead-letters' }))
    const config = async (name: string): Promise<Record<string, string>> => {
      const { resources } = await openConnection().administer((admin) =>
        admin.describeConfigs({
          includeSynonyms: false,
          resources: [
            { type: kafkajs.ConfigResourceTypes.TOPIC, name, configNames: ['retention.ms', 'retention.bytes'] },
          ],
        }),
      )
      return Object.fromEntries(
        (resources[0]?.configEntries ?? []).map((entry) => [entry.configName, entry.configValue]),
      )
    }
    expect(await config(topic)).toEqual({ 'retention.ms': '3600000', 'retention.bytes': '1000000' })
    expect(await config(`${topic}.dlq`)).toMatchObject({ 'retention.ms': '-1' })
  })

  it('by many at once makes one topic', async () => {
    const topic = uniqueTopic()
    const made = await Promise.all(
      Array.from({ length: 8 }, () => {
        const transport = openTransport()
        return transport.admin.provision(transport.topicSpec(topic, { partitions: 3 }))
      }),
    )
    expect(made).toEqual(Array.from({ length: 8 }, () => ({ topic, partitions: 3 })))
  })
})

describe('a loop and a foreign kafkajs', () => {
  it('leave a group of kafkajs alone as it is', async () => {
    const topic = uniqueTopic()
    await openTransport().producer(topic).send(1)
    const plain = new kafkajs.Kafka({ brokers: [brokerAddress], logLevel: kafkajs.logLevel.NOTHING })
    const consumer = plain.consumer({ groupId: `${topic}-plain` })
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [topic], fromBeginning: true })
      const received = new Promise<string | undefined>((resolve) => {
        void consumer.run({ eachMessage: async ({ message }) => resolve(message.value?.toString()) })
      })
      expect(await received).toBe('1')
    } finally {
      await consumer.disconnect()
    }
  })
})
