import type { RemovedRange } from '@streamswitch/core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { StreamClient } from '../src/client-patches/stream-client.js'
import { openClient } from '../src/connection.js'
import { firstOffsetOf } from '../src/stream-positions.js'
import { numbers, openStream, sourceOf, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

const MESSAGES = 320
const PAYLOAD = 'x'.repeat(50_000)

let client: StreamClient

beforeAll(async () => {
  client = await openClient(sourceOf(BROKER_URL))
})

afterAll(() => client.close())

interface Numbered {
  readonly number: number
  readonly payload: string
}

/** A reader so slow that retention overtakes it: it holds five chunks, and the stream keeps three files of 20 messages. */
async function overtaken(outOfRange: 'earliest' | 'latest' | 'stop', more: Readonly<Record<string, unknown>> = {}) {
  const [topic, group] = [unique('topic'), unique('group')]
  const transport = openStream({ segmentBytes: 1_000_000 })
  const producer = transport.producer<Numbered>(topic, {
    retention: { maxBytes: 3_000_000 },
    maxBatchRecords: 1,
    'rabbitmq-stream': { filterHeader: 'region' },
  })
  await producer.init()
  const loop = transport.consumer<Numbered>(topic, {
    group,
    concurrency: 1,
    maxAheadMessages: 5,
    outOfRange,
    'rabbitmq-stream': { chunksAhead: 2, ...more },
  })
  const handled: number[] = []
  const errors: string[] = []
  const removed: RemovedRange[] = []
  let held: (() => void) | undefined
  let slow = true
  loop.on('error', ({ code, message }) => errors.push(`${code}: ${message}`))
  loop.on('removed', (range) => removed.push(range))
  const offsets: number[] = []
  loop.handle(async ({ value, offset }) => {
    handled.push(value.number)
    offsets.push(Number(offset))
    if (slow) await new Promise<void>((resolve) => (held = resolve))
  })
  const ended = loop.run().then(
    () => 'ended in good order',
    (error: { code: string }) => error.code,
  )
  await loop.init()
  // One after the other, so that each is a chunk of its own.
  const send = async (from: number, to: number): Promise<void> => {
    for (let number = from; number < to; number += 1)
      await producer.send({ number, payload: PAYLOAD }, { headers: { region: number % 2 === 0 ? 'north' : 'south' } })
  }
  return {
    topic,
    group,
    loop,
    handled,
    errors,
    removed,
    offsets,
    ended,
    send,
    holding: () => held !== undefined,
    /** The broker removes files a moment after they are too many. */
    passed: () => until(async () => (await firstOffsetOf(client, topic)) > MESSAGES / 2),
    goOn: () => {
      slow = false
      held?.()
    },
  }
}

describe('a reader that retention overtakes', () => {
  test("with outOfRange 'stop': the loop ends, and nothing behind the gap is handled", async () => {
    const { loop, handled, errors, ended, send, holding, passed, goOn } = await overtaken('stop')
    await send(0, 20)
    await until(holding)
    await send(20, MESSAGES)
    await passed()
    goOn()
    expect(await ended).toBe('NOT_FOUND')
    await loop.close()
    expect(handled).toEqual(numbers(handled.length))
    expect(handled.length).toBeLessThan(100)
    expect(errors.filter((error) => error.includes('outOfRange')).length).toBeLessThanOrEqual(1)
    expect(errors.filter((error) => error.startsWith('PERMISSION_DENIED'))).toEqual([])
  })

  test("with outOfRange 'earliest': each gap is reported, and it goes on behind it", async () => {
    const { loop, handled, errors, removed, offsets, ended, send, holding, passed, goOn } = await overtaken('earliest')
    await send(0, 20)
    await until(holding)
    await send(20, MESSAGES)
    await passed()
    goOn()
    await until(() => handled.at(-1) === MESSAGES - 1)
    await loop.close()
    expect(await ended).toBe('ended in good order')
    const gaps = handled.filter((number, index) => index > 0 && number !== (handled[index - 1] ?? 0) + 1)
    expect(gaps.length).toBeGreaterThan(0)
    expect(errors.length).toBeGreaterThanOrEqual(gaps.length)
    expect(errors.filter((error) => !error.includes('(outOfRange)'))).toEqual([])
    // What is missing lies within what was reported, and nothing that was handled does.
    const within = (offset: number): boolean =>
      removed.some(({ from, to }) => Number(from) <= offset && offset < Number(to))
    expect(offsets.filter(within)).toEqual([])
    // Offsets right before a message may be the broker's own records, which are there.
    const reportedBetween = (from: number, to: number): boolean =>
      removed.some((range) => Number(range.from) < to && Number(range.to) > from)
    for (const [index, number] of handled.entries()) {
      const before = index === 0 ? undefined : handled[index - 1]
      if (before !== undefined && number !== before + 1)
        expect(reportedBetween(offsets[index - 1] ?? 0, offsets[index] ?? 0)).toBe(true)
    }
    const missing = MESSAGES - handled.length
    expect(loop.stats().removed).toBeGreaterThanOrEqual(missing)
    expect(removed.reduce((sum, { messages }) => sum + (messages ?? 0), 0)).toBe(loop.stats().removed)
  })

  test('a group whose members were all away is told from which offset on messages are gone', async () => {
    const { loop, handled, ended, send, holding, passed, goOn, topic, group } = await overtaken('earliest')
    await send(0, 20)
    await until(holding)
    goOn()
    await until(() => handled.length === 20)
    await loop.close()
    expect(await ended).toBe('ended in good order')
    await send(20, MESSAGES)
    await passed()
    const next = openStream().consumer<Numbered>(topic, { group })
    const seen: { readonly number: number; readonly offset: number }[] = []
    const removed: RemovedRange[] = []
    next.on('removed', (range) => removed.push(range))
    next.on('error', () => {})
    next.handle(({ value: { number }, offset }) => void seen.push({ number, offset: Number(offset) }))
    void next.run()
    await until(() => seen.at(-1)?.number === MESSAGES - 1)
    await next.close()
    const [first] = seen
    const missing = (first?.number ?? 0) - 20
    expect(missing).toBeGreaterThan(0)
    // Retention may remove more while the loop begins to read: that is another range.
    const before = removed.filter(({ to }) => Number(to) <= (first?.offset ?? 0))
    // Besides the messages, some offsets are the broker's own records.
    expect(before.reduce((sum, { messages }) => sum + Number(messages), 0)).toBeGreaterThanOrEqual(missing)
    for (const { from, to, messages } of removed) expect(Number(to) - Number(from)).toBe(messages)
  })

  test("with outOfRange 'latest': it goes on at the end, and what follows is handled", async () => {
    const { loop, handled, errors, ended, send, holding, passed, goOn } = await overtaken('latest')
    await send(0, 20)
    await until(holding)
    await send(20, MESSAGES)
    await passed()
    goOn()
    await until(() => errors.length > 0)
    await send(MESSAGES, MESSAGES + 3)
    await until(() => handled.at(-1) === MESSAGES + 2)
    await until(async () => (await loop.lag()).every(({ lag }) => lag === 0))
    await loop.close()
    expect(await ended).toBe('ended in good order')
    expect(errors).toHaveLength(1)
    expect(handled.filter((number) => number >= 100 && number < MESSAGES)).toEqual([])
  })

  const filter = { filterHeader: 'region', filterValues: ['south'], commitIntervalMs: 10 }

  test('with a filter: what the broker withholds is no gap', async () => {
    const { loop, handled, errors, ended, send, holding, goOn } = await overtaken('earliest', filter)
    await send(0, 2)
    await until(holding)
    goOn()
    // Every second one is withheld, and retention moves on beyond many of them, while nothing keeps the reader waiting.
    for (let number = 2; number < 120; number += 2) {
      await send(number, number + 2)
      await until(() => handled.at(-1) === number + 1)
    }
    expect(errors).toEqual([])
    await loop.close()
    expect(await ended).toBe('ended in good order')
  })
  test('with a filter: what retention removes while the reader has no credit is reported', async () => {
    const { loop, handled, errors, ended, send, holding, passed, goOn } = await overtaken('earliest', filter)
    await send(0, 20)
    await until(holding)
    await send(20, MESSAGES)
    await passed()
    goOn()
    await until(() => handled.at(-1) === MESSAGES - 1)
    await loop.close()
    expect(await ended).toBe('ended in good order')
    const gaps = handled.filter((number, index) => index > 0 && number !== (handled[index - 1] ?? 0) + 2)
    expect(gaps.length).toBeGreaterThan(0)
    expect(errors.length).toBeGreaterThanOrEqual(gaps.length)
    expect(errors.filter((error) => !error.includes('(outOfRange)'))).toEqual([])
  })
})
