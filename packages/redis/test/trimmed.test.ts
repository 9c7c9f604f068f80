import { describe, expect, test } from 'vitest'
import { openRedis, plainClient, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

const MESSAGES = 40
const LEFT = 10

type Policy = 'earliest' | 'latest' | 'stop'

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index)

/** A loop whose first handler waits, so that it has fetched a few of the messages that are there. */
function slowLoop(topic: string, group: string, outOfRange: Policy = 'earliest') {
  const loop = openRedis(brokerUrl).consumer<number>(topic, { group, concurrency: 1, maxAheadMessages: 5, outOfRange })
  const handled: number[] = []
  const removed: number[] = []
  const errors: string[] = []
  let release: () => void = () => {}
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  loop.on('removed', ({ messages }) => removed.push(messages ?? 0))
  loop.on('error', ({ code, message }) => errors.push(`${code}: ${message}`))
  loop.handle(async ({ value }) => {
    handled.push(value)
    await released
  })
  const ended = loop.run().then(
    () => 'in good order',
    (error: { code: string }) => error.code,
  )
  return { loop, handled, removed, errors, ended, release }
}

/** A running loop that has fetched some of 40 messages, of which all but the newest 10 have been trimmed since. */
async function trimmedUnderWay(topic: string, group: string, outOfRange: Policy) {
  const producer = openRedis(brokerUrl).producer<number>(topic)
  for (const number of numbers(0, MESSAGES)) await producer.send(number)
  const slow = slowLoop(topic, group, outOfRange)
  await until(() => slow.handled.length === 1)
  expect(await plainClient(brokerUrl).xtrim(topic, 'MAXLEN', LEFT)).toBe(MESSAGES - LEFT)
  slow.release()
  return { ...slow, producer }
}

describe('a stream that somebody trims while a loop reads it', () => {
  test('what is gone is reported, with its number; what was fetched and what is left is handled; the next loop has nothing to report', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const { loop, handled, removed, errors, producer } = await trimmedUnderWay(topic, group, 'earliest')
    await until(() => handled.at(-1) === MESSAGES - 1)
    const fetched = handled.length - LEFT
    expect(handled).toEqual([...numbers(0, fetched), ...numbers(MESSAGES - LEFT, MESSAGES)])
    expect(removed).toEqual([MESSAGES - LEFT - fetched])
    expect(loop.stats().removed).toBe(MESSAGES - LEFT - fetched)
    expect(errors.filter((error) => !error.includes('(outOfRange)'))).toEqual([])
    await loop.close()
    const next = slowLoop(topic, group)
    next.release()
    await producer.send(MESSAGES)
    await until(() => next.handled.length > 0)
    expect([next.handled, next.removed, next.errors]).toEqual([[MESSAGES], [], []])
  })

  test("with outOfRange 'latest', reading goes on at the end", async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const { handled, removed, producer } = await trimmedUnderWay(topic, group, 'latest')
    await until(() => removed.length > 0)
    await producer.send(MESSAGES)
    await until(() => handled.at(-1) === MESSAGES)
    expect(removed).toHaveLength(1)
    expect(handled.length).toBeLessThan(MESSAGES)
  })

  test("with outOfRange 'stop', the loop ends, and the next one reports what is gone", async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const { loop, handled, removed, ended } = await trimmedUnderWay(topic, group, 'stop')
    expect(await ended).toBe('NOT_FOUND')
    await loop.close()
    expect(removed).toEqual([])
    const next = slowLoop(topic, group)
    next.release()
    await until(() => next.handled.at(-1) === MESSAGES - 1)
    expect(next.removed.length).toBeGreaterThan(0)
    const all = new Set([...handled, ...next.handled])
    expect(all.size + next.removed.reduce((sum, count) => sum + count, 0)).toBe(MESSAGES)
  })

  test('what nobody else removes is never reported: retention, deletions of what was handled, a group that begins late', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openRedis(brokerUrl, { heartbeatMs: 100 })
    const client = plainClient(brokerUrl)
    const producer = transport.producer<number>(topic, { retention: { maxMessages: 5 } })
    for (const number of numbers(0, 20)) await producer.send(number)
    await client.xtrim(topic, 'MAXLEN', 10)
    const loop = transport.consumer<number>(topic, { group, retention: { maxMessages: 5 } })
    const handled: number[] = []
    const events: unknown[] = []
    loop.on('removed', (range) => events.push(range))
    loop.on('error', (error) => events.push(error.message))
    loop.handle(({ value }) => void handled.push(value))
    const ended = loop.run()
    for (let round = 0; round < 2; round += 1) {
      const from = 20 + round * 20
      await Promise.all(numbers(from, from + 20).map((number) => producer.send(number)))
      await until(() => handled.includes(from + 19))
      await until(async () => (await client.xlen(topic)) <= 5)
      const [newest] = await client.xrevrange(topic, '+', '-', 'COUNT', 1)
      await client.xdel(topic, newest?.[0] ?? '')
    }
    await loop.close()
    await ended
    expect(handled).toEqual(numbers(10, 60))
    expect(events).toEqual([])
  })
})
