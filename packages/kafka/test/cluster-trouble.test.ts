import type { Logger } from '@streamswitch/core'
import { Transport } from '@streamswitch/core'
import { type BrokerHandle, type KafkaCluster, startKafkaCluster } from '@streamswitch/testkit/brokers'
import { describe, expect, it, onTestFinished } from 'vitest'
import kafka from '../src/index.js'
import { leaderOf } from './support/cluster.js'
import { uniqueTopic } from './support/member.js'

const OPTIONS = { requestTimeoutMs: 2_000, connectionTimeoutMs: 1_000 }

async function clusterWith(config: readonly string[]): Promise<KafkaCluster> {
  const cluster = await startKafkaCluster(3, { config })
  onTestFinished(() => cluster.remove())
  return cluster
}

/** A loop and a producer at work, and everything that is reported of them. */
async function work(url: string, topic: string) {
  const lines: { readonly level: string; readonly line: string }[] = []
  const take = (level: string) => (line: string) => void lines.push({ level, line })
  const logger = { debug: take('debug'), info: take('info'), warn: take('warn'), error: take('error') } as Logger
  const transport = new Transport(kafka, url, { environment: {}, logger, options: OPTIONS })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  const nodeWarnings: string[] = []
  const onWarning = ({ name, message }: Error): void => void nodeWarnings.push(`${name}: ${message}`)
  process.on('warning', onWarning)
  onTestFinished(() => void process.off('warning', onWarning))
  const settings = { partitions: 6, connectTimeoutMs: 60_000 }
  const loop = transport.consumer<number>(topic, { group: 'g', ...settings })
  const producer = transport.producer<number>(topic, { ...settings, sendTimeoutMs: 120_000 })
  const errors: string[] = []
  loop.on('error', ({ message }) => errors.push(message))
  const handled = new Set<number>()
  loop.handle(({ value }) => {
    handled.add(value)
  })
  await loop.init()
  void loop.run()
  const sends: Promise<unknown>[] = []
  /** Sends some more, to all partitions. */
  const feed = (count: number): void => {
    for (let index = 0; index < count; index += 1)
      sends.push(producer.send(sends.length, { partition: sends.length % 6 }))
  }
  feed(12)
  await Promise.all(sends)
  await expect.poll(() => handled.size, { timeout: 30_000 }).toBe(12)
  await expect.poll(async () => (await loop.lag()).every(({ lag }) => lag === 0), { timeout: 30_000 }).toBe(true)
  const count = (level: string, part: string): number =>
    lines.filter((one) => one.level === level && one.line.includes(part)).length
  return { loop, feed, sends, handled, errors, nodeWarnings, lines, count }
}

describe('a loop', () => {
  it('whose coordinator is dead reports it once, warns less and less often, and goes on when it is back', async () => {
    const cluster = await clusterWith(['offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1'])
    const { feed, sends, handled, errors, nodeWarnings, count } = await work(cluster.url, uniqueTopic())
    const coordinator = cluster.nodes[(await leaderOf(cluster.url, '__consumer_offsets')) - 1] as BrokerHandle
    await coordinator.kill()
    feed(30)
    const tries = (): number => count('debug', 'reconnecting failed') + count('warn', 'reconnecting failed')
    await expect.poll(tries, { timeout: 90_000 }).toBeGreaterThan(4)
    expect(errors.filter((message) => message.includes('acks of partition')).length).toBeLessThanOrEqual(1)
    expect(count('warn', 'reconnecting failed')).toBeLessThan(tries() / 2)
    await coordinator.start()
    await Promise.all(sends)
    await expect.poll(() => handled.size, { timeout: 90_000 }).toBe(42)
    expect(nodeWarnings).toEqual([])
  }, 240_000)
})

describe('a topic with fewer replicas in sync than min.insync.replicas', () => {
  it('is reported once by its producer and its loop, and taken up again when they are back', async () => {
    const cluster = await clusterWith(['min.insync.replicas=3'])
    const { feed, sends, handled, errors, nodeWarnings, count } = await work(cluster.url, uniqueTopic())
    await cluster.nodes[2]?.kill()
    feed(30)
    const resends = (): number => count('debug', 'unconfirmed records again')
    await expect.poll(resends, { timeout: 90_000 }).toBeGreaterThan(40)
    expect(count('warn', 'NOT_ENOUGH_REPLICAS')).toBeLessThanOrEqual(4)
    expect(count('info', 'NOT_ENOUGH_REPLICAS')).toBeLessThanOrEqual(4)
    expect(errors.filter((message) => message.includes('acks of partition')).length).toBeLessThanOrEqual(2)
    await cluster.nodes[2]?.start()
    await Promise.all(sends)
    await expect.poll(() => handled.size, { timeout: 90_000 }).toBe(42)
    expect(nodeWarnings).toEqual([])
  }, 240_000)
})
