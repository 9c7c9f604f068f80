import type { Delivery } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { classifyError } from '../src/errors.js'
import type { Generation } from '../src/places.js'
import { joinGroup, openTransport, sendAll, type TestMember, uniqueTopic } from './support/member.js'
import { joinRaw } from './support/raw-member.js'

const texts = (member: TestMember): (string | undefined)[] => member.sink.deliveries.map((one) => one.bytes?.toString())

/** Runs until the member has this many partitions of its newest generation. */
async function settledAt(member: TestMember, partitions: number): Promise<void> {
  await member.sink.until(() => member.sink.assignments.size === partitions)
}

describe('a handover', () => {
  it('waits for what runs: its commit is taken, and the next member goes on behind it', async () => {
    const topic = uniqueTopic()
    const first = await joinGroup({ topic, partitions: 2 })
    await sendAll(topic, ['a', 'b', 'c'])
    await first.sink.until(() => first.sink.deliveries.length === 3)
    const running = first.sink.deliveries[1] as Delivery
    first.sink.onRevoked = async (_partitions, how) => {
      expect(how).toBe('graceful')
      await first.driver.commit?.(running.assignment, running)
    }
    const second = await joinGroup({ topic, partitions: 2 })
    await Promise.all([settledAt(first, 1), settledAt(second, 1)])
    const owner = [first, second].find((member) =>
      [...member.sink.assignments].some((one) => one.partition === 0),
    ) as TestMember
    const newest = [...owner.sink.assignments].find((one) => one.partition === 0)
    const again = (): Delivery[] => owner.sink.deliveries.filter((one) => one.assignment === newest)
    await owner.sink.until(() => again().length > 0)
    expect(again().map((one) => one.bytes?.toString())).toEqual(['c'])
    expect(newest?.epoch).toBeGreaterThan(running.assignment.epoch)
  })

  it('outlasts the session: heartbeats go on while handlers end', async () => {
    const topic = uniqueTopic()
    const options = { sessionTimeoutMs: 6_000 }
    const first = await joinGroup({ topic, partitions: 2, options })
    await sendAll(topic, ['a', 'b'])
    await first.sink.until(() => first.sink.deliveries.length === 2)
    const last = first.sink.deliveries[1] as Delivery
    // Longer than the session: how long it takes is what is being tested.
    first.sink.onRevoked = () =>
      new Promise((resolve, reject) =>
        setTimeout(
          () => (first.driver.commit?.(last.assignment, last) ?? Promise.resolve()).then(resolve, reject),
          7_500,
        ),
      )
    const second = await joinGroup({ topic, partitions: 2, options })
    expect(second.sink.assignments.size, 'joined, and waiting for the other').toBe(0)
    await Promise.all([settledAt(first, 1), settledAt(second, 1)])
    expect(first.sink.losses).toEqual([])
    await sendAll(topic, ['c'])
    const both = (): (string | undefined)[] => [...texts(first).slice(2), ...texts(second)]
    await Promise.race([first, second].map((member) => member.sink.until(() => both().length > 0)))
    expect(both()).toEqual(['c'])
  })

  it('leaves what waited undelivered to the next member, when what was delivered is acknowledged at the end', async () => {
    const topic = uniqueTopic()
    const first = await joinGroup({ topic })
    first.sink.capacity = () => 1
    first.sink.room = new Promise(() => {})
    await sendAll(topic, ['a', 'b', 'c'])
    await first.sink.until(() => first.sink.deliveries.length === 1)
    const fetched = async (): Promise<number | undefined> => {
      const counts = await first.driver.undelivered?.()
      return [...(counts?.values() ?? [])][0]
    }
    await expect.poll(fetched, { timeout: 20_000 }).toBe(2)
    const [delivered] = first.sink.deliveries as [Delivery]
    await first.driver.stop()
    await first.driver.commit?.(delivered.assignment, delivered)
    await first.driver.close()
    const second = await joinGroup({ topic })
    await second.sink.until(() => second.sink.deliveries.length === 2)
    expect(texts(second)).toEqual(['b', 'c'])
  })

  it('leaves nothing to commit: an old assignment is refused, and the position stays', async () => {
    const topic = uniqueTopic()
    const first = await joinGroup({ topic, partitions: 2 })
    await sendAll(topic, ['a', 'b', 'c'])
    await first.sink.until(() => first.sink.deliveries.length === 3)
    const [one, , three] = first.sink.deliveries as [Delivery, Delivery, Delivery]
    await first.driver.commit?.(three.assignment, three)
    const second = await joinGroup({ topic, partitions: 2 })
    await Promise.all([settledAt(first, 1), settledAt(second, 1)])
    await expect(first.driver.commit?.(one.assignment, one)).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(first.driver.attempts?.failed(one.assignment, one, 1)).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await second.driver.lag?.()).toEqual([
      { topic, partition: 0, lag: 0 },
      { topic, partition: 1, lag: 0 },
    ])
  })
})

describe('a generation', () => {
  it('that is over commits nothing: the broker refuses its number', async () => {
    const topic = uniqueTopic()
    const transport = openTransport()
    await transport.admin.provision(transport.topicSpec(topic, { partitions: 2 }))
    const first = await joinRaw(topic, `${topic}-group`, 'first')
    await joinRaw(topic, `${topic}-group`, 'second')
    await first.reached(2)
    const [old, present] = first.generations as [Generation, Generation]
    const position = { topic, partition: 0, offset: 0, metadata: '' }
    expect(present.id).toBeGreaterThan(old.id)
    const refusal: unknown = await old.commit([position]).catch((error: unknown) => error)
    expect(classifyError(refusal, 'ack')).toMatchObject({ code: 'ABORTED', retryable: false })
    await present.commit([position])
  })
})

describe('loops of one group over different topics', () => {
  it('each get their own topic, whoever leads the group', async () => {
    const topics = [uniqueTopic(), uniqueTopic(), uniqueTopic()]
    const group = `${topics[0]}-group`
    const members = await Promise.all(topics.map((topic) => joinGroup({ topic, group, partitions: 2 })))
    for (const [index, member] of members.entries()) {
      await sendAll(topics[index] as string, [`for ${index}`])
      await member.sink.until(() => texts(member).includes(`for ${index}`))
      expect(new Set(member.sink.deliveries.map((one) => one.topic))).toEqual(new Set([topics[index]]))
    }
  })
})

describe('order by key', () => {
  it('holds over three loops, while members join and leave', async () => {
    const topic = uniqueTopic()
    const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`)
    const rounds = 60
    const seen = new Map<string, number>()
    const reordered: string[] = []
    const waiting: (() => void)[] = []
    const join = async (): Promise<{ close(): Promise<void> }> => {
      const loop = openTransport().consumer<number>(topic, { group: 'order', partitions: 6, concurrency: 8 })
      loop.handle((message) => {
        const key = message.key as string
        const last = seen.get(key) ?? -1
        // A repetition after a handover is allowed, a gap or a step back to something new is not.
        if (message.value > last + 1) reordered.push(`${key}: ${message.value} after ${last}`)
        seen.set(key, Math.max(last, message.value))
        for (const wake of waiting.splice(0)) wake()
      })
      await loop.init()
      void loop.run()
      return { close: () => loop.close() }
    }
    const handledAll = async (round: number): Promise<void> => {
      while (!keys.every((key) => (seen.get(key) ?? -1) >= round)) {
        await new Promise<void>((resolve) => waiting.push(resolve))
      }
    }
    const producer = openTransport().producer<number>(topic, { partitions: 6 })
    const loops = [await join(), await join(), await join()]
    const sending = (async () => {
      for (let round = 0; round < rounds; round += 1) {
        await Promise.all(keys.map((key) => producer.send(round, { key })))
        // Paced by the loops, so that they change in the midst of it.
        await handledAll(round - 5)
      }
    })()
    await handledAll(15)
    await loops[0]?.close()
    await handledAll(25)
    loops.push(await join(), await join())
    await handledAll(40)
    await loops[1]?.close()
    await sending
    await handledAll(rounds - 1)
    expect(reordered).toEqual([])
    await Promise.all(loops.map((loop) => loop.close()))
  })
})
