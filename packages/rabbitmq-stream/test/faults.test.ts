import { type ChildProcess, execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import type { BrokerHandle } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  firstHandlings,
  killableBroker,
  numbers,
  openStream,
  type Seen,
  seenOf,
  unique,
  until,
} from './support/bench.js'

const RECOVERY_MS = 60_000
const PARTITIONS = 4
const KEYS = Array.from({ length: 10 }, (_, index) => `key-${index}`)
const QUICK = { callTimeoutMs: 5_000 }

let broker: BrokerHandle
let url: string

beforeAll(async () => {
  ;({ broker, url } = await killableBroker())
})

afterAll(async () => {
  await broker.remove()
})

describe('faults', () => {
  test('the broker is killed under load: every confirmed message is handled, each key in order', {
    timeout: RECOVERY_MS,
  }, async () => {
    const each = 1_000
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const seen: Seen[] = []
    const producers = KEYS.map(() =>
      transport.producer<number>(topic, { partitions: PARTITIONS, maxBatchRecords: 20, sendTimeoutMs: 40_000 }),
    )
    await Promise.all(producers.map((producer) => producer.init()))
    const loops = [0, 1].map(() =>
      transport.consumer<number>(topic, { group, concurrency: 16, connectTimeoutMs: 20_000 }),
    )
    for (const loop of loops) loop.handle((message) => void seen.push(seenOf(message)))
    const runs = loops.map((loop) => loop.run())
    await Promise.all(loops.map((loop) => loop.init()))
    let confirmed = 0
    const feed = async (index: number): Promise<void> => {
      const producer = producers[index] as (typeof producers)[number]
      // A few at a time, so that sending is still under way when the broker dies.
      for (let number = 0; number < each; number += 50) {
        const part = Array.from({ length: 50 }, (_, offset) =>
          producer.send(number + offset, { key: KEYS[index] as string }).then(() => (confirmed += 1)),
        )
        await Promise.all(part)
      }
    }
    const sends = KEYS.map((_, index) => feed(index))
    for (const share of [3, 1.5]) {
      await until(() => confirmed > (KEYS.length * each) / share / 1.01)
      expect(
        producers.reduce((sum, producer) => sum + producer.stats().buffered, 0),
        'sends are under way',
      ).toBeGreaterThan(0)
      await broker.kill()
      await broker.start()
    }
    await Promise.all(sends)
    expect(
      producers.some((producer) => producer.stats().resent > 0),
      'records were sent again',
    ).toBe(true)
    await until(() => new Set(seen.map(({ key, value }) => `${key} ${value}`)).size === KEYS.length * each)
    for (const [key, values] of firstHandlings(seen)) expect(values, key).toEqual(numbers(each))
    // One that got no partition may still be on its way back when the others have handled everything.
    await until(() => loops.every((loop) => loop.stats().reconnects > 0))
    await Promise.all(loops.map((loop) => loop.close()))
    await Promise.all(runs)
  })

  test('under a publisherName nothing is stored twice when the broker is killed', {
    timeout: RECOVERY_MS,
  }, async () => {
    const total = 6_000
    const topic = unique('topic')
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic, {
      maxBatchRecords: 20,
      sendTimeoutMs: 40_000,
      'rabbitmq-stream': { publisherName: 'orders' },
    })
    await producer.init()
    let confirmed = 0
    const sends = numbers(total).map((number) =>
      producer.send(number, { sequence: BigInt(number + 1) }).then(() => (confirmed += 1)),
    )
    await until(() => confirmed > total / 3)
    expect(confirmed).toBeLessThan(total)
    await broker.kill()
    await broker.start()
    await Promise.all(sends)
    expect(producer.stats().resent).toBeGreaterThan(0)
    const seen: Seen[] = []
    const loop = transport.consumer<number>(topic, { group: unique('group'), concurrency: 1 })
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await until(() => seen.length >= total)
    await loop.close()
    await run
    expect(seen.map(({ value }) => value)).toEqual(numbers(total))
  })

  test('a broker that freezes is noticed by producer and loop; when it goes on, everything does', {
    timeout: RECOVERY_MS,
  }, async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic, { probeIntervalMs: 500, sendTimeoutMs: 40_000 })
    const loop = transport.consumer<number>(topic, { group, probeIntervalMs: 500 })
    const seen: Seen[] = []
    let reconnecting = 0
    loop.on('reconnecting', () => (reconnecting += 1))
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await loop.init()
    await producer.send(1)
    await until(() => seen.length === 1)
    broker.pause()
    await until(() => reconnecting > 0 && !producer.stats().connected)
    const during = producer.send(2)
    broker.resume()
    await during
    await until(() => seen.some(({ value }) => value === 2))
    await loop.close()
    await run
  })

  test('the operator closes every connection: producer and loop go on, the loop with its filter', {
    timeout: RECOVERY_MS,
  }, async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic, { 'rabbitmq-stream': { filterHeader: 'region' } })
    const loop = transport.consumer<number>(topic, {
      group,
      'rabbitmq-stream': { filterValues: ['south'], filterHeader: 'region' },
    })
    const seen: Seen[] = []
    let reconnecting = 0
    loop.on('reconnecting', () => {
      reconnecting += 1
    })
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await loop.init()
    const send = (value: number, region: string) => producer.send(value, { headers: { region } })
    await send(1, 'south')
    await until(() => seen.length === 1)
    await promisify(execFile)(broker.tool('rabbitmqctl'), ['close_all_user_connections', 'guest', 'maintenance'])
    await until(() => reconnecting > 0)
    await send(2, 'north')
    await send(3, 'south')
    await until(() => seen.some(({ value }) => value === 3))
    expect(seen.map(({ value }) => value)).not.toContain(2)
    await loop.close()
    await run
  })

  test('members join, leave and are killed: none lost, each key in order', { timeout: RECOVERY_MS }, async () => {
    const each = 400
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic, { partitions: PARTITIONS })
    await producer.init()
    const seen: Seen[] = []
    const workers = [await startWorker(topic, group, seen)]
    let sent = 0
    const feed = (async () => {
      for (let number = 0; number < each; number += 1) {
        await Promise.all(KEYS.map((key) => producer.send(number, { key })))
        sent += KEYS.length
      }
    })()
    const reached = (share: number): Promise<void> => until(() => seen.length > each * KEYS.length * share)
    await reached(0.1)
    workers.push(await startWorker(topic, group, seen))
    await reached(0.25)
    workers.push(await startWorker(topic, group, seen))
    await reached(0.4)
    workers[0]?.child.kill('SIGKILL')
    await reached(0.55)
    workers.push(await startWorker(topic, group, seen))
    await reached(0.7)
    workers[1]?.child.send('leave')
    await once(workers[1]?.child as ChildProcess, 'exit')
    await feed
    expect(sent).toBe(each * KEYS.length)
    await until(() => new Set(seen.map(({ key, value }) => `${key} ${value}`)).size === each * KEYS.length)
    for (const [key, values] of firstHandlings(seen)) expect(values, key).toEqual(numbers(each))
    for (const { child } of workers) child.kill('SIGKILL')
  })

  test('two of four members are killed at once, again and again: the others take over', {
    timeout: 2 * RECOVERY_MS,
  }, async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic, { partitions: 8 })
    await producer.init()
    const keys = Array.from({ length: 40 }, (_, index) => `key-${index}`)
    const seen: Seen[] = []
    let sent = 0
    const round = async (): Promise<void> => {
      const number = sent
      sent += 1
      await Promise.all(keys.map((key) => producer.send(number, { key })))
      await until(() => new Set(seen.map(({ key, value }) => `${key} ${value}`)).size === keys.length * sent)
    }
    const workers = await Promise.all([0, 1].map(() => startWorker(topic, group, seen)))
    for (let turn = 0; turn < 3; turn += 1) {
      workers.push(...(await Promise.all([0, 1].map(() => startWorker(topic, group, seen)))))
      await round()
      for (const { child } of workers.splice(0, 2)) child.kill('SIGKILL')
      await round()
    }
    for (const [key, values] of firstHandlings(seen)) expect(values, key).toEqual(numbers(sent))
    for (const { child } of workers) child.kill('SIGKILL')
  })

  test('a message that kills its worker is counted across restarts, and its neighbours are not charged', {
    timeout: RECOVERY_MS,
  }, async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream(QUICK, url)
    const producer = transport.producer<number>(topic)
    await Promise.all([1, 2, 3, -1, 4, 5].map((value) => producer.send(value, { key: `k${value}` })))
    const seen: Seen[] = []
    for (let life = 1; life <= 5; life += 1) {
      const worker = await startWorker(topic, group, seen)
      await once(worker.child, 'exit')
    }
    const poison = seen.filter(({ value }) => value === -1).map(({ attempt }) => attempt)
    // At its first two deaths it was one of several at work: only those that it had for itself are charged.
    expect(poison).toEqual([1, 1, 1, 2, 3])
    for (const one of seen.filter(({ value }) => value !== -1)) expect(one.attempt, `message ${one.value}`).toBe(1)
  })
})

async function startWorker(topic: string, group: string, seen: Seen[]): Promise<{ readonly child: ChildProcess }> {
  const child = fork(new URL('./support/loop-worker.mjs', import.meta.url), [url, topic, group], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.on('message', (message: 'ready' | Seen) => {
      if (message === 'ready') resolve()
      else seen.push(message)
    })
    child.once('exit', () => resolve())
  })
  return { child }
}
