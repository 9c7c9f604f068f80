import type { Message } from '@streamswitch/core'
import type { KafkaMessage } from 'kafkajs'
import kafkajs from 'kafkajs'
import { describe, expect, it, onTestFinished } from 'vitest'
import { brokerAddress } from './support/broker.js'
import { openTransport, uniqueTopic } from './support/member.js'

const PARTITIONS = 6
const TIME = 1_700_000_000_000
/** Integers and UUIDs as Java's serializers write them: no UTF-8, most of them. */
const KEYS = ['92345678', '00000000', 'ffffffff', '80', 'c328', '6b'].map((hex) => Buffer.from(hex, 'hex'))

/** What is compared: the partition, and all of the record that is no header of ours. */
function seen({ native, partition, timestamp }: Message): unknown {
  const { key, value, headers = {} } = native as KafkaMessage
  const hex = (one: unknown): unknown =>
    Buffer.isBuffer(one) ? one.toString('hex') : Array.isArray(one) ? one.map(hex) : one
  const own = Object.entries(headers).filter(([name]) => !name.startsWith('streamswitch-'))
  return { partition, timestamp, key: hex(key), value: hex(value), headers: own.map(([name, one]) => [name, hex(one)]) }
}

/** What handlers saw, by the key's bytes. */
class Sightings {
  readonly byKey = new Map<string, unknown>()

  add(message: Message): void {
    this.byKey.set((message.native as KafkaMessage).key?.toString('hex') ?? '', seen(message))
  }
}

async function consume(topic: string, handler: (message: Message) => unknown, to?: string) {
  const transport = openTransport()
  const loop = transport.consumer(topic, {
    group: 'g',
    codec: 'bytes',
    partitions: PARTITIONS,
    retry: { attempts: 1 },
  })
  if (to === undefined) loop.handle(handler as never)
  else
    loop.handle(handler as never, { to: transport.producer(to, { codec: 'bytes', partitions: PARTITIONS }) as never })
  await loop.init()
  void loop.run()
  return loop
}

describe('a record of a foreign producer with a binary key', () => {
  it('stays in its partition with its bytes: replayed, forwarded, and what a handler makes of it', async () => {
    const [topic, outputs, forwards] = [uniqueTopic(), uniqueTopic(), uniqueTopic()]
    const transport = openTransport()
    const forwarding = transport.producer(forwards, { partitions: PARTITIONS })
    await forwarding.init()
    const [arrived, replayed, output, forwarded] = Array.from({ length: 4 }, () => new Sightings())
    let failing = true
    const loop = await consume(
      topic,
      async (message) => {
        if (failing) {
          arrived?.add(message)
          throw new Error('fails')
        }
        replayed?.add(message)
        await forwarding.forward(message)
        return Buffer.from('made of it')
      },
      outputs,
    )
    await consume(outputs, (message) => output?.add(message))
    await consume(forwards, (message) => forwarded?.add(message))
    await produce(topic)
    await expect.poll(() => loop.stats().deadLettered, { timeout: 20_000 }).toBe(KEYS.length)
    expect(arrived?.byKey.size, 'handled, with its bytes').toBe(KEYS.length)
    failing = false
    const { count } = await transport.deadLetters(topic, { group: 'g' }).replay({ all: true })
    expect(count).toBe(KEYS.length)
    await expect.poll(() => [output?.byKey.size, forwarded?.byKey.size], { timeout: 20_000 }).toEqual([6, 6])
    expect(replayed?.byKey).toEqual(arrived?.byKey)
    expect(forwarded?.byKey).toEqual(arrived?.byKey)
    const partitionsOf = (sightings: Sightings | undefined): unknown =>
      [...(sightings?.byKey ?? [])].map(([key, one]) => [key, (one as { partition: number }).partition]).sort()
    expect(partitionsOf(output)).toEqual(partitionsOf(arrived))
    for (const one of arrived?.byKey.values() ?? [])
      expect(one, 'a header that is no time leaves the time to the record').toMatchObject({ timestamp: TIME })
  })
})

/** By kafkajs, whose partitioner is that of the Java client. */
async function produce(topic: string): Promise<void> {
  const kafka = new kafkajs.Kafka({ brokers: [brokerAddress], logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  onTestFinished(() => producer.disconnect())
  await producer.connect()
  const binary = Buffer.from('fffe00', 'hex')
  await producer.send({
    topic,
    messages: KEYS.map((key) => ({
      key,
      value: Buffer.concat([binary, key]),
      timestamp: String(TIME),
      headers: { binary, repeated: ['a', binary, 'a'], plain: 'text', 'streamswitch-timestamp': 'abc' },
    })),
  })
}
