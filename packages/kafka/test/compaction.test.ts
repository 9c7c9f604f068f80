import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { promisify } from 'node:util'
import { type ConsumerLoop, Transport } from '@streamswitch/core'
import { type BrokerHandle, brokerTool, startBroker } from '@streamswitch/testkit/brokers'
import kafkajs, { type Admin, type Producer } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { KafkaConsumerDriver } from '../src/consumer.js'
import kafka from '../src/index.js'

const PATIENCE = { timeout: 90_000, interval: 250 }
const QUIET = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

let broker: BrokerHandle
let address: string
let admin: Admin

beforeAll(async () => {
  // The cleaner looks every 15 s unless told otherwise.
  broker = await startBroker('kafka', { config: ['log.cleaner.backoff.ms=100'] })
  address = broker.url.replace('kafka://', '')
  admin = client().admin()
  await admin.connect()
}, 300_000)

afterAll(async () => {
  await admin?.disconnect()
  await broker?.remove()
}, 60_000)

function client(): kafkajs.Kafka {
  return new kafkajs.Kafka({ brokers: [address], logLevel: kafkajs.logLevel.NOTHING })
}

async function newTopic(): Promise<string> {
  const topic = `compacted-${randomUUID().slice(0, 13)}`
  const configEntries = [{ name: 'segment.ms', value: '20' }]
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] })
  return topic
}

/** From now on all segments but the newest are compacted as soon as they can be. */
async function makeCompacted(topic: string): Promise<void> {
  const settings = {
    'cleanup.policy': 'compact',
    'segment.ms': 20,
    'min.cleanable.dirty.ratio': '0.0001',
    'max.compaction.lag.ms': 100,
    'delete.retention.ms': 0,
  }
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value: String(value) }))
  const type = kafkajs.ConfigResourceTypes.TOPIC
  await admin.alterConfigs({ validateOnly: false, resources: [{ type, name: topic, configEntries }] })
}

async function producerOf(settings: kafkajs.ProducerConfig = {}): Promise<Producer> {
  const producer = client().producer({ allowAutoTopicCreation: false, ...settings })
  onTestFinished(() => producer.disconnect())
  await producer.connect()
  return producer
}

/** The offsets that a consumer of another library gets, from the beginning to the end. */
async function offsetsOf(topic: string): Promise<number[]> {
  const options = ['-C', '-q', '-e', '-t', topic, '-p', '0', '-o', 'beginning', '-f', '%o\n']
  const { stdout } = await promisify(execFile)(await brokerTool('kcat'), ['-b', address, ...options])
  return stdout.split('\n').filter(Boolean).map(Number)
}

async function endOf(topic: string): Promise<number> {
  const [partition] = await admin.fetchTopicOffsets(topic)
  return Number(partition?.high)
}

/** Ends segments until the broker has compacted away what is to be gone by the offsets that are left. */
async function compact(
  topic: string,
  end: () => Promise<unknown>,
  done: (offsets: number[]) => boolean,
): Promise<void> {
  await makeCompacted(topic)
  const look = async (): Promise<boolean> => {
    // A segment is ended by the first record after its time.
    await end()
    return done(await offsetsOf(topic))
  }
  await expect.poll(look, PATIENCE).toBe(true)
}

interface Watched {
  readonly loop: ConsumerLoop<string>
  readonly handled: { readonly offset: number; readonly value: string }[]
  /** What the loop complained of. */
  readonly events: string[]
}

interface WatchSettings {
  readonly from?: { readonly offset: string }
  /** Handles no more once it has handled this offset. */
  readonly until?: number
}

function watch(topic: string, group: string, { until, from }: WatchSettings = {}): Watched {
  const transport = new Transport(kafka, broker.url, { environment: {}, logger: QUIET })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  const loop = transport.consumer<string>(topic, { group, codec: 'text', stallTimeoutMs: 2_000, from, concurrency: 1 })
  const events: string[] = []
  for (const event of ['stalled', 'reconnecting', 'error', 'removed'] as const) loop.on(event, () => events.push(event))
  const handled: Watched['handled'] = []
  loop.handle(({ offset, value }) => {
    handled.push({ offset: Number(offset), value })
    if (Number(offset) === until) loop.pause()
  })
  return { loop, handled, events }
}

const offsets = ({ handled }: Watched): number[] => handled.map(({ offset }) => offset)

/** The loop has nothing left to do and knows it: no lag, and the stall watch has looked several times without complaint. */
async function expectIdle({ loop, events }: Watched, topic: string): Promise<void> {
  await expect.poll(() => loop.lag(), PATIENCE).toEqual([{ topic, partition: 0, lag: 0 }])
  const looks = vi.spyOn(KafkaConsumerDriver.prototype, 'undelivered')
  await expect.poll(() => looks.mock.calls.length, PATIENCE).toBeGreaterThan(4)
  const [counts] = await Promise.all(
    looks.mock.results.slice(-1).map(({ value }) => value as Promise<Map<unknown, number>>),
  )
  expect([...(counts?.values() ?? [])]).toEqual([0])
  expect(loop.stats().stalled).toBe(false)
  expect(events).toEqual([])
}

describe('a topic that the broker has compacted', { timeout: 240_000 }, () => {
  test('is read over its gaps, in order; a group whose position is in a gap goes on behind it, and misses nothing', async () => {
    const topic = await newTopic()
    const producer = await producerOf()
    const send = (key: string, value: string): Promise<unknown> => producer.send({ topic, messages: [{ key, value }] })
    for (let number = 0; number < 30; number += 1) await send(`key-${number % 3}`, String(number))
    const early = watch(topic, 'early', { until: 9 })
    await early.loop.init()
    const earlyEnded = early.loop.run()
    await expect.poll(() => offsets(early).at(-1), PATIENCE).toBe(9)
    await early.loop.close()
    await earlyEnded
    const newest = [27, 28, 29]
    await compact(
      topic,
      () => send('end', 'of a segment'),
      (found) => found.filter((offset) => offset < 30).join() === newest.join(),
    )
    const left = await offsetsOf(topic)
    expect(left.length, 'the log has gaps').toBeLessThan(await endOf(topic))

    const late = watch(topic, 'late')
    await late.loop.init()
    void late.loop.run()
    await expect.poll(() => offsets(late).at(-1), PATIENCE).toBe(left.at(-1))
    expect(offsets(late).filter((offset) => offset < 30)).toEqual(newest)
    expect(offsets(late)).toEqual([...offsets(late)].sort((one, other) => one - other))
    await expectIdle(late, topic)

    const again = watch(topic, 'early')
    await again.loop.init()
    void again.loop.run()
    await expect.poll(() => offsets(again).at(-1), PATIENCE).toBe(left.at(-1))
    expect(offsets(again).filter((offset) => offset < 30)).toEqual(newest)
    await expectIdle(again, topic)

    const within = watch(topic, 'within', { from: { offset: '12' } })
    await within.loop.init()
    void within.loop.run()
    await expect.poll(() => offsets(within).at(-1), PATIENCE).toBe(left.at(-1))
    expect(offsets(within)[0]).toBe(27)
    await expectIdle(within, topic)
  })

  test('whose last records are markers of transactions, behind messages that are compacted away, ends where the log ends', async () => {
    const topic = await newTopic()
    const plain = await producerOf()
    for (const value of ['a', 'b', null]) await plain.send({ topic, messages: [{ key: 'gone', value }] })
    await plain.send({ topic, messages: [{ key: 'kept', value: 'last' }] })
    const transactional = await producerOf({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
    const aborted = async (): Promise<void> => {
      const transaction = await transactional.transaction()
      await transaction.send({ topic, messages: [{ key: 'gone', value: 'never' }] })
      await transaction.abort()
    }
    const [last] = (await offsetsOf(topic)).slice(-1)
    await compact(topic, aborted, (found) => found.join() === String(last))
    expect(await endOf(topic)).toBeGreaterThan((last ?? 0) + 1)

    const watched = watch(topic, 'group')
    await watched.loop.init()
    void watched.loop.run()
    await expect.poll(() => offsets(watched), PATIENCE).toEqual([last])
    await expectIdle(watched, topic)
    await watched.loop.close()

    await plain.send({ topic, messages: [{ key: 'next', value: 'message' }] })
    const next = watch(topic, 'group')
    await next.loop.init()
    void next.loop.run()
    await expect.poll(() => next.handled.map(({ value }) => value), PATIENCE).toEqual(['message'])
    await expectIdle(next, topic)
  })
})
