import { afterAll, describe, expect, test } from 'vitest'
import { AttemptSlots } from '../src/attempt-slots.js'
import type { StreamClient } from '../src/client-patches/stream-client.js'
import { openClient } from '../src/connection.js'
import { ATTEMPT_SLOTS, GroupRecordStore, type GroupRecords, MAX_ATTEMPT_SLOTS } from '../src/group-records.js'
import { openStream, sourceOf, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const NONE: GroupRecords = {
  position: 0,
  lastPosition: 0,
  epoch: 0,
  started: 0,
  slots: ATTEMPT_SLOTS,
  attempts: new Map(),
  alone: undefined,
}

const clients: StreamClient[] = []

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()))
})

describe('slots', () => {
  test('are as many as there are messages at work: none loses its note to another', () => {
    const slots = new AttemptSlots(NONE)
    const claimed = Array.from({ length: 100 }, (_, offset) => slots.claim(offset, 1))
    expect(new Set(claimed).size).toBe(100)
    expect(slots.slots).toBe(100)
    expect(slots.attemptsOf(0)).toBe(1)
  })

  test('of what is done and waits for its commit are taken again first', () => {
    const slots = new AttemptSlots(NONE)
    for (let offset = 0; offset < ATTEMPT_SLOTS; offset += 1) slots.claim(offset, 1)
    const spare = slots.claim(3, 0)
    expect(slots.claim(500, 1)).toBe(spare)
    expect(slots.slots).toBe(ATTEMPT_SLOTS)
    slots.forget(10)
    for (let offset = 600; offset < 609; offset += 1) slots.claim(offset, 1)
    expect(slots.slots).toBe(ATTEMPT_SLOTS)
  })

  test('are bounded: then what is tried most keeps its own', () => {
    const slots = new AttemptSlots(NONE)
    for (let offset = 0; offset < MAX_ATTEMPT_SLOTS; offset += 1) slots.claim(offset, offset === 0 ? 3 : 1)
    slots.claim(MAX_ATTEMPT_SLOTS, 1)
    expect(slots.slots).toBe(MAX_ATTEMPT_SLOTS)
    expect(slots.attemptsOf(0)).toBe(3)
    expect(slots.attemptsOf(1)).toBe(0)
  })

  test('are read by the next owner, however many there are', async () => {
    const topic = unique('slots')
    await openStream().producer<number>(topic).send(1)
    const client = await openClient(sourceOf(BROKER_URL))
    clients.push(client)
    const store = new GroupRecordStore(client.locator, topic, 'g', topic)
    const slots = new AttemptSlots(NONE)
    await Promise.all(
      Array.from({ length: 40 }, (_, offset) => {
        const slot = slots.claim(offset, 1)
        store.saveSlots(slots.slots)
        return store.saveFailed(slot, { offset, attempts: 1 })
      }),
    )
    const records = await new GroupRecordStore(client.locator, topic, 'g', topic).load()
    expect(records.slots).toBe(40)
    const read = new AttemptSlots(records)
    expect(Array.from({ length: 41 }, (_, offset) => read.attemptsOf(offset))).toEqual([
      ...Array.from({ length: 40 }, () => 1),
      0,
    ])
  })

  test('say nothing of messages that the group goes through again after a seek, here and for the next owner', async () => {
    const topic = unique('slots')
    const transport = openStream()
    const producer = transport.producer<number>(topic)
    for (const value of [0, 1, 2]) await producer.send(value)
    const client = await openClient(sourceOf(BROKER_URL))
    clients.push(client)
    const group = unique('group')
    const store = new GroupRecordStore(client.locator, topic, group, topic)
    const read = async (attempts: number[], seek: boolean): Promise<void> => {
      const loop = transport.consumer<number>(topic, { group, retry: { attempts: 3 }, deadLetter: false })
      loop.handle((message) => void attempts.push(message.attempt))
      const run = loop.run()
      await loop.init()
      if (seek) await loop.seek({ offset: '0' })
      await until(() => attempts.length >= 3)
      await loop.close()
      await run
    }
    const [first, second]: [number[], number[]] = [[], []]
    await read(first, false)
    // Its last start was noted, at work and alone: then it was done.
    await store.saveFailed(0, { offset: 1, attempts: 7 })
    await read(second, true)
    expect(second).toEqual([1, 1, 1])
    expect((await store.load()).attempts.get(1)?.attempts ?? 0).toBe(0)
  })
})
