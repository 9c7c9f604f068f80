import { type Message, Transport } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import kafkajs, { type KafkaMessage } from 'kafkajs'
import { describe, expect, it, onTestFinished } from 'vitest'
import kafka from '../src/index.js'
import { brokerAddress } from './support/broker.js'
import { run } from './support/kcat.js'
import { openTransport, uniqueTopic } from './support/member.js'

/** Handles a topic's first messages, from the beginning. */
async function receive(transport: Transport, topic: string, count: number): Promise<Message<unknown>[]> {
  const messages: Message<unknown>[] = []
  const loop = transport.consumer<unknown>(topic, { group: `${topic}-readers`, concurrency: 1 })
  await new Promise<void>((resolve, reject) => {
    loop.handle((message) => {
      if (messages.push(message) === count) resolve()
    })
    loop.run().catch(reject)
  })
  return messages
}

describe('a send', () => {
  it('goes to the partition that it asks for, whatever its key, and is refused where there is none', async () => {
    const topic = uniqueTopic()
    const producer = openTransport().producer<string>(topic, { partitions: 4, codec: 'text' })
    const receipts = await Promise.all(
      [3, 0, 2, 1].map((partition) => producer.send(`to ${partition}`, { key: 'the same', partition })),
    )
    expect(receipts.map(({ partition }) => partition)).toEqual([3, 0, 2, 1])
    for (const partition of [0, 1, 2, 3]) {
      const output = await run([
        '-C',
        '-q',
        '-t',
        topic,
        '-p',
        String(partition),
        '-o',
        'beginning',
        '-e',
        '-f',
        '%k %s',
      ])
      expect(output.toString()).toBe(`the same to ${partition}`)
    }
    await expect(producer.send('beyond', { partition: 4 })).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('records of others', () => {
  it('have headers as texts and as bytes: texts are read, bytes are left to native, of several the last one counts', async () => {
    const topic = uniqueTopic()
    const plain = new kafkajs.Kafka({ brokers: [brokerAddress], logLevel: kafkajs.logLevel.NOTHING })
    const producer = plain.producer()
    await openTransport().producer(topic).init()
    await producer.connect()
    onTestFinished(() => producer.disconnect())
    const binary = Buffer.from([0, 255, 254])
    const headers = { text: 'ü', bytes: Buffer.from('as bytes'), binary, several: ['first', 'last'] }
    await producer.send({
      topic,
      messages: [
        { key: 'k', value: '1', headers },
        { key: 'k', value: null },
      ],
    })
    const [first, second] = await receive(openTransport(), topic, 2)
    expect(first?.headers).toEqual({ text: 'ü', bytes: 'as bytes', several: 'last' })
    expect(((first as Message).native as KafkaMessage).headers?.['binary']).toEqual(binary)
    expect([second?.value, second?.bytes]).toEqual([undefined, undefined])
  })
})

describe('several brokers in the URL', () => {
  it('are seeds: the first is down, the next is used', async () => {
    const topic = uniqueTopic()
    const url = `kafka://127.0.0.1:${await findFreePort()},${brokerAddress}`
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    const transport = new Transport(kafka, url, { environment: {}, logger: quiet })
    onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
    await transport.producer<number>(topic).send(1)
    expect((await receive(transport, topic, 1)).map(({ value }) => value)).toEqual([1])
    expect(await transport.admin.topics()).toContainEqual({ topic, partitions: 1 })
  })
})
