import { afterEach, describe, expect, it, vi } from 'vitest'
import { CommitQueue } from '../src/commit-queue.js'
import { KafkaConsumerDriver } from '../src/consumer.js'
import { joinGroup, openTransport, sendAll, type TestMember, uniqueTopic } from './support/member.js'
import { beginTransaction, write } from './support/transaction.js'

const texts = (member: TestMember): (string | undefined)[] => member.sink.deliveries.map((one) => one.bytes?.toString())

async function topicOfOnePartition(): Promise<string> {
  const topic = uniqueTopic()
  const transport = openTransport()
  await transport.admin.provision(transport.topicSpec(topic))
  return topic
}

async function acknowledgeAll(member: TestMember): Promise<void> {
  const last = member.sink.deliveries.at(-1)
  if (last !== undefined) await member.driver.commit?.(last.assignment, last)
}

/** The lag as Kafka's own tool shows it. */
async function lagOf(topic: string): Promise<number | undefined> {
  const transport = openTransport()
  return (await transport.admin.lag(transport.topicSpec(topic), `${topic}-group`))[0]?.lag
}

async function undelivered(member: TestMember): Promise<number[]> {
  return [...((await member.driver.undelivered?.()) ?? new Map<unknown, number>()).values()]
}

afterEach(() => {
  vi.restoreAllMocks()
})

describe('a loop on a topic with transactions', () => {
  it('is idle and healthy behind a committed one: the marker is passed over and committed', async () => {
    const topic = await topicOfOnePartition()
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['a', 'b', 'c'])
    await transaction.commit()
    const looks = vi.spyOn(KafkaConsumerDriver.prototype, 'undelivered')
    const loop = openTransport().consumer<string>(topic, { group: 'g', codec: 'text', stallTimeoutMs: 2_000 })
    const events: string[] = []
    for (const event of ['stalled', 'reconnecting', 'error'] as const) loop.on(event, () => events.push(event))
    const handled: string[] = []
    loop.handle(({ value }) => {
      handled.push(value)
    })
    await loop.init()
    void loop.run()
    await expect.poll(() => loop.lag(), { timeout: 30_000 }).toEqual([{ topic, partition: 0, lag: 0 }])
    const before = looks.mock.calls.length
    await expect.poll(() => looks.mock.calls.length, { timeout: 30_000 }).toBeGreaterThan(before + 4)
    expect(handled).toEqual(['a', 'b', 'c'])
    expect(events).toEqual([])
    expect(loop.stats().stalled).toBe(false)
  })

  it('commits a passed marker once, not with every empty fetch', async () => {
    const topic = await topicOfOnePartition()
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['a'])
    await transaction.commit()
    const member = await joinGroup({ topic, options: { maxWaitMs: 20 } })
    await member.sink.until(() => texts(member).length === 1)
    await acknowledgeAll(member)
    await expect.poll(() => lagOf(topic), { timeout: 30_000 }).toBe(0)
    const fetches = vi.spyOn(KafkaConsumerDriver.prototype, 'fetched')
    const commits = vi.spyOn(CommitQueue.prototype, 'request')
    await expect.poll(() => fetches.mock.calls.length, { timeout: 30_000 }).toBeGreaterThan(10)
    expect(commits).not.toHaveBeenCalled()
  })

  it('commits no marker while a message before it is not acknowledged', async () => {
    const topic = await topicOfOnePartition()
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['a', 'b'])
    await transaction.commit()
    const member = await joinGroup({ topic, options: { maxWaitMs: 20 } })
    await member.sink.until(() => texts(member).length === 2)
    const [first] = member.sink.deliveries
    if (first !== undefined) await member.driver.commit?.(first.assignment, first)
    const fetches = vi.spyOn(KafkaConsumerDriver.prototype, 'fetched')
    await expect.poll(() => fetches.mock.calls.length, { timeout: 30_000 }).toBeGreaterThan(5)
    expect(await undelivered(member)).toEqual([0])
    expect(await lagOf(topic)).toBe(2)
    await member.driver.close()
    const next = await joinGroup({ topic })
    await next.sink.until(() => texts(next).length > 0)
    expect(texts(next)).toEqual(['b'])
  })

  it('gets nothing of an aborted one, whatever its keys are, and is not behind', async () => {
    const topic = await topicOfOnePartition()
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['x', 'y', 'z'])
    await write(transaction, topic, ['x2', 'y2'])
    await transaction.abort()
    const member = await joinGroup({ topic })
    await expect.poll(() => lagOf(topic), { timeout: 30_000 }).toBe(0)
    expect(await undelivered(member)).toEqual([0])
    await sendAll(topic, ['after'])
    await member.sink.until(() => texts(member).includes('after'))
    expect(texts(member)).toEqual(['after'])
  })

  it('is idle while one is open: what it has written counts for the lag, and is not to be delivered yet', async () => {
    const topic = await topicOfOnePartition()
    await sendAll(topic, ['before'])
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['a', 'b'])
    await sendAll(topic, ['behind'])
    const member = await joinGroup({ topic })
    await member.sink.until(() => texts(member).includes('before'))
    await acknowledgeAll(member)
    expect(await undelivered(member)).toEqual([0])
    expect(await member.driver.lag?.()).toEqual([{ topic, partition: 0, lag: 3 }])
    expect(await lagOf(topic)).toBe(3)
    await transaction.commit()
    await member.sink.until(() => texts(member).length === 4)
    expect(texts(member)).toEqual(['before', 'a', 'b', 'behind'])
  })

  it('starts behind its last stable offset with `latest`: a transaction that is open then is delivered', async () => {
    const topic = await topicOfOnePartition()
    await sendAll(topic, ['before'])
    const transaction = await beginTransaction(topic)
    await write(transaction, topic, ['a'])
    const member = await joinGroup({ topic, from: 'latest' })
    await transaction.commit()
    await member.sink.until(() => texts(member).length === 1)
    expect(texts(member)).toEqual(['a'])
    expect(member.sink.outside).toEqual([])
  })
})
