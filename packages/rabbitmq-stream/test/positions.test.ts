import type { ConsumerLoop, Transport } from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import { numbers, openStream, unique, until } from './support/bench.js'

interface Reading {
  readonly loop: ConsumerLoop<number>
  readonly values: number[]
  stop(): Promise<void>
}

async function read(
  transport: Transport,
  topic: string,
  settings: Record<string, unknown> & { group: string },
): Promise<Reading> {
  const loop = transport.consumer<number>(topic, { concurrency: 1, ...settings })
  const values: number[] = []
  loop.handle((message) => void values.push(message.value))
  const run = loop.run()
  await loop.init()
  return {
    loop,
    values,
    stop: async () => {
      await loop.close()
      await run
    },
  }
}

const lagOf = async (transport: Transport, topic: string, group: string): Promise<number[]> =>
  (await transport.admin.lag(transport.topicSpec(topic), transport.brokerGroup(group))).map(({ lag }) => lag)

describe('a super stream that is being made', () => {
  test('is listed with its partitions or not at all, and none of them is taken as a topic of its own', async () => {
    const prefix = unique('prefix')
    const transport = openStream({ prefix })
    let over = false
    const listed = new Set<string>()
    const look = async (): Promise<void> => {
      while (!over) for (const { topic } of await transport.admin.topics()) listed.add(topic)
    }
    const codes = new Set<string>()
    const join = async (topic: string): Promise<void> => {
      const other = openStream({ provision: 'verify', prefix })
      // A group of its own: in one that has the super stream as well, what is tested here would end the broker's coordinator.
      const loop = other.consumer(`${topic}-0`, { group: unique('group') })
      await loop.init().catch((error: { code: string }) => codes.add(error.code))
      if (loop.assignments.length > 0) codes.add('assigned')
      await loop.close()
    }
    const looking = look()
    for (let round = 0; round < 12; round += 1) {
      const topic = unique('super')
      const producer = transport.producer(topic, { partitions: 8 })
      const made = producer.init()
      await until(async () => {
        await join(topic)
        return codes.has('CONFLICT')
      })
      await made
      await producer.close()
      await transport.admin.deleteTopic(transport.topicSpec(topic))
      codes.delete('CONFLICT')
    }
    over = true
    await looking
    expect([...listed].filter((topic) => /^super-.*-\d+$/.test(topic))).toEqual([])
    expect(listed.size).toBeGreaterThan(0)
    expect([...codes].filter((code) => code !== 'NOT_FOUND')).toEqual([])
  })
})

describe('positions', () => {
  test('the lag of a topic that is made and deleted meanwhile is a number, or NOT_FOUND: the broker ends connections then', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const codes = new Set<string>()
    let over = false
    const ask = async (): Promise<void> => {
      while (!over) await lagOf(transport, topic, group).catch((error: { code: string }) => codes.add(error.code))
    }
    const asking = [ask(), ask()]
    for (let round = 0; round < 12; round += 1) {
      const producer = transport.producer<number>(topic, { partitions: 1 + (round % 3) })
      await producer.send(round)
      const reading = await read(transport, topic, { group })
      await until(() => reading.values.length === 1)
      await reading.stop()
      await producer.close()
      await transport.admin.deleteTopic(transport.topicSpec(topic))
    }
    over = true
    await Promise.all(asking)
    expect([...codes]).toEqual(['NOT_FOUND'])
  })

  test('lag is exact: empty, at offset 0, and with stored positions among the messages', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const producer = transport.producer<number>(topic)
    await producer.init()
    const reading = await read(transport, topic, { group, 'rabbitmq-stream': { commitIntervalMs: 1 } })
    await until(async () => (await lagOf(transport, topic, group)).join() === '0')
    for (const number of numbers(20)) {
      await producer.send(number)
      await until(() => reading.values.length === number + 1)
    }
    await until(async () => (await lagOf(transport, topic, group)).join() === '0')
    await reading.stop()
    await producer.send(20)
    expect(await lagOf(transport, topic, group)).toEqual([1])
    await Promise.all(numbers(5).map((number) => producer.send(21 + number)))
    expect(await lagOf(transport, topic, group)).toEqual([6])
    const other = await read(transport, topic, { group: unique('group'), 'rabbitmq-stream': { commitIntervalMs: 1 } })
    await until(() => other.values.length === 26)
    await other.stop()
    // More chunks than are asked for at once.
    for (const number of numbers(120)) await producer.send(27 + number)
    expect(await lagOf(transport, topic, group)).toEqual([126])
    // The other group's stored positions stand between ours and the end; they are no messages.
    await producer.send(26)
    expect(await lagOf(transport, topic, group)).toEqual([127])
  })

  test("a new group 'latest' on an empty stream keeps its place: what comes after a loop's end is not skipped", async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const first = await read(transport, topic, { group, from: 'latest' })
    await first.stop()
    await transport.producer<number>(topic).send(1)
    const second = await read(transport, topic, { group, from: 'latest' })
    await until(() => second.values.length === 1)
    await second.stop()
  })

  test('seek to the first offset survives the loop, also before anything is handled again', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const producer = transport.producer<number>(topic)
    await Promise.all(numbers(10).map((number) => producer.send(number)))
    const first = await read(transport, topic, { group })
    await until(() => first.values.length === 10)
    first.loop.pause()
    await first.loop.seek({ offset: '0' })
    await first.stop()
    const second = await read(transport, topic, { group })
    await until(() => second.values.length === 10)
    expect(second.values).toEqual(numbers(10))
    await second.stop()
  })

  test('from a timestamp: what was stored before is left out', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const producer = transport.producer<number>(topic)
    await producer.send(1)
    const between = Date.now() + 1
    await until(() => Date.now() > between)
    await producer.send(2)
    const reading = await read(transport, topic, { group, from: { timestamp: between } })
    await until(() => reading.values.length === 1)
    expect(reading.values).toEqual([2])
    await reading.stop()
  })

  test('an offset beyond the end is reported, and the group goes on where outOfRange says', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    await transport.producer<number>(topic).send(1)
    const loop = transport.consumer<number>(topic, { group, from: { offset: '5000' }, outOfRange: 'latest' })
    const problems: string[] = []
    const values: number[] = []
    loop.on('error', (error) => problems.push(error.message))
    loop.handle((message) => void values.push(message.value))
    const run = loop.run()
    await loop.init()
    await until(() => problems.length === 1)
    expect(problems[0]).toContain('5000')
    await transport.producer<number>(topic).send(2)
    await until(() => values.length === 1)
    expect(values).toEqual([2])
    await loop.close()
    await run
  })

  test('a filter: only its values arrive, and what is skipped between them counts as done', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const producer = transport.producer<number>(topic, { 'rabbitmq-stream': { filterHeader: 'region' } })
    await producer.send(30)
    for (const number of numbers(30))
      await producer.send(number, { headers: { region: ['north', 'south', 'east'][number % 3] as string } })
    const filter = { filterValues: ['south', 'east'], filterHeader: 'region', commitIntervalMs: 10 }
    const reading = await read(transport, topic, { group, 'rabbitmq-stream': filter })
    await until(() => reading.values.length === 20)
    expect(reading.values.every((value) => value % 3 !== 0)).toBe(true)
    await until(async () => (await lagOf(transport, topic, group)).join() === '0')
    await reading.stop()
    const unfiltered = await read(transport, topic, {
      group: unique('group'),
      'rabbitmq-stream': { ...filter, matchUnfiltered: true },
    })
    await until(() => unfiltered.values.length === 21)
    await unfiltered.stop()
  })

  test('a filter: what shares a chunk with a wanted message is skipped by the loop', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const producer = transport.producer<number>(topic, { 'rabbitmq-stream': { filterHeader: 'region' } })
    await producer.init()
    // One batch, and so one chunk, which the broker sends as a whole.
    await Promise.all(
      numbers(30).map((number) =>
        producer.send(number, number % 3 === 2 ? {} : { headers: { region: number % 3 === 0 ? 'north' : 'south' } }),
      ),
    )
    const filter = { filterValues: ['south'], filterHeader: 'region', commitIntervalMs: 10 }
    const reading = await read(transport, topic, { group, 'rabbitmq-stream': filter })
    const more = { ...filter, matchUnfiltered: true }
    const unfiltered = await read(transport, topic, { group: unique('group'), 'rabbitmq-stream': more })
    await until(async () => (await lagOf(transport, topic, group)).join() === '0')
    expect(reading.values).toEqual(numbers(30).filter((number) => number % 3 === 1))
    await until(() => unfiltered.values.length === 20)
    expect(unfiltered.values).toEqual(numbers(30).filter((number) => number % 3 !== 0))
    await reading.stop()
    await unfiltered.stop()
  })

  test('partitions and retention: fixed at creation, another count is CONFLICT, topics are listed', async () => {
    const topic = unique('topic')
    const prefix = `${unique('prefix')}.`
    const management = process.env['STREAMSWITCH_TEST_RABBITMQ_MANAGEMENT_URL'] ?? 'http://127.0.0.1:15672'
    const transport = openStream({ prefix, managementUrl: management })
    const { admin } = transport
    await Promise.all(
      [1, 2, 3].map(() =>
        admin.provision(
          transport.topicSpec(topic, { partitions: 5, retention: { maxAgeMs: 3_600_000, maxBytes: 50_000_000 } }),
        ),
      ),
    )
    await admin.provision(transport.topicSpec(`${topic}.single`))
    await expect(admin.provision(transport.topicSpec(topic, { partitions: 4 }))).rejects.toMatchObject({
      code: 'CONFLICT',
    })
    await expect(
      admin.provision({ ...transport.topicSpec(unique('topic')), provision: 'verify' }),
    ).rejects.toMatchObject({ code: 'NOT_FOUND' })
    // The management API learns of new streams a moment later.
    await until(async () => (await admin.topics()).length === 2)
    expect(await admin.topics()).toEqual(
      expect.arrayContaining([
        { topic, partitions: 5 },
        { topic: `${topic}.single`, partitions: 1 },
      ]),
    )
    for (const name of [topic, `${topic}.single`]) await admin.deleteTopic(transport.topicSpec(name))
    await admin.deleteTopic(transport.topicSpec(topic))
    await until(async () => (await admin.topics()).length === 0)
  })
})
