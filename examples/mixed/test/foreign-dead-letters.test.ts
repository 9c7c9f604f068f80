import { type Message, Transport } from '@streamswitch/core'
import kafka from '@streamswitch/kafka'
import redis from '@streamswitch/redis'
import { describe, expect, it, onTestFinished } from 'vitest'

const KAFKA_URL = process.env.STREAMSWITCH_TEST_KAFKA_URL ?? 'kafka://127.0.0.1:9092'
const REDIS_URL = process.env.STREAMSWITCH_TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'
const BINARY = Buffer.from('fffe00', 'hex')

/** What is used of the clients behind the transports, which know nothing of Streamswitch. */
interface KafkaClient {
  producer(): {
    connect(): Promise<void>
    disconnect(): Promise<void>
    send(records: { topic: string; messages: object[] }): Promise<unknown>
  }
}
interface RedisClient {
  call(command: string, ...args: (string | Buffer)[]): Promise<unknown>
}

function open(adapter: typeof kafka, url: string, deadLetterTransport?: Transport): Transport {
  const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  const transport = new Transport(adapter, url, {
    environment: {},
    logger,
    ...(deadLetterTransport === undefined ? {} : { deadLetterTransport }),
  })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return transport
}

/** Lets a message that `write` brings fail, replays it, and returns it as it was handled first and then, with its dead letter. */
async function failAndReplay(transport: Transport, write: (topic: string) => Promise<void>) {
  const topic = `foreign-${Math.random().toString(36).slice(2)}`
  const seen: Message[] = []
  const loop = transport.consumer(topic, { group: 'g', codec: 'bytes', retry: { attempts: 1 } })
  loop.handle((message) => {
    seen.push(message)
    if (seen.length === 1) throw new Error('fails')
  })
  await loop.init()
  void loop.run()
  await write(topic)
  await expect.poll(() => loop.stats().deadLettered, { timeout: 20_000 }).toBe(1)
  const box = transport.deadLetters(topic, { group: 'g' })
  const letter = (await box.list()).letters[0]
  expect(await box.replay({ all: true })).toMatchObject({ count: 1, incomplete: [] })
  await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(2)
  return { first: seen[0], again: seen[1], letter }
}

describe('dead letters on another kind of transport', () => {
  it('of Kafka on Redis: what Redis has no place for is named, in the dead letter and in the replay; all else is as it was', async () => {
    const transport = open(kafka, KAFKA_URL, open(redis, REDIS_URL))
    const { first, again, letter } = await failAndReplay(transport, async (topic) => {
      const producer = (transport.native as KafkaClient).producer()
      await producer.connect()
      const headers = { tenant: 'acme', tags: ['a', 'b'], binary: BINARY }
      await producer.send({ topic, messages: [{ key: Buffer.from('92345678', 'hex'), value: BINARY, headers }] })
      await producer.disconnect()
    })
    const lost = "key bytes, header 'tags' (repeated), header 'binary' (bytes)"
    expect(letter).toMatchObject({ id: first?.id, incomplete: undefined, notCarried: lost })
    expect(again).toMatchObject({
      id: first?.id,
      key: first?.key,
      bytes: BINARY,
      timestamp: first?.timestamp,
      headers: { tenant: 'acme', tags: 'b', 'streamswitch-not-carried': lost },
    })
  })

  it('of Redis on Kafka: an entry without payload comes back as the value that its handler had', async () => {
    const transport = open(redis, REDIS_URL, open(kafka, KAFKA_URL))
    const { first, again, letter } = await failAndReplay(transport, async (topic) => {
      await (transport.native as RedisClient).call('XADD', topic, '*', 'id', '7', 'total', '12', 'raw', BINARY)
    })
    const lost = "its own fields, field 'raw' (bytes)"
    expect(letter).toMatchObject({ id: first?.id, incomplete: undefined, notCarried: lost })
    expect(again).toMatchObject({ id: first?.id, key: undefined, bytes: first?.bytes, timestamp: first?.timestamp })
    expect(again?.headers).toEqual({ 'streamswitch-not-carried': lost })
  })
})
