import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { Gate, within } from './collect.js'
import { rejection, thrown } from './expect-error.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** Item 6, the receiving side: stopping is clean, bounded and idempotent. */
export function lifecycle(suite: Suite): void {
  suite.describe('closing loops', () => {
    whileHandling(suite)
    twice(suite)
    ways(suite)
  })
}

function whileHandling(suite: Suite): void {
  suite.test('close lets the running handler finish and acks its message', {}, async (bench) => {
    const gate = new Gate()
    const member = await bench.member({ handler: () => gate.opened })
    void bench.ledger.send(bench.producer(), 1, { key: 'k', id: 'running' })
    await bench.until(() => member.handlings.length === 1, 'the handler to start')
    const closed = member.loop.close()
    expect(member.handlings[0]?.message.signal.aborted, 'a clean stop does not abort').toBe(false)
    gate.open()
    await within(closed, 'the end of close')
    expect(member.succeeded).toEqual(['running'])
    expect(member.loop.stats()).toMatchObject({ handled: 1, acked: 1, running: 0, overlaps: 0, connected: false })
    await bench.ledger.allConfirmed()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })

  suite.test(
    'close starts nothing new and gives back what it had taken',
    { partitions: suite.partitions },
    async (bench) => {
      const gate = new Gate()
      const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`)
      const member = await bench.member({ handler: () => gate.opened, settings: { concurrency: 2 } })
      bench.ledger.series(bench.producer(), keys, 5)
      await bench.until(() => member.loop.stats().running === 2, 'two running handlers')
      const closed = member.loop.close()
      gate.open()
      await within(closed, 'the end of close')
      expect(member.handlings, 'nothing was started after close').toHaveLength(2)
      await bench.member()
      await bench.handledCount(60)
      await bench.ledger.allConfirmed()
      expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [], overlapping: [] })
    },
  )

  suite.test(
    'a handler that never ends: close is bounded, aborts its signal, and the message comes again',
    {},
    async (bench) => {
      const member = await bench.member({ handler: () => new Promise(() => {}) })
      void bench.ledger.send(bench.producer(), 1, { key: 'k', id: 'endless' })
      await bench.until(() => member.handlings.length === 1, 'the handler to start')
      const { signal } = member.handlings[0]?.message ?? {}
      const started = performance.now()
      await within(member.loop.close({ timeoutMs: 200 }), 'the end of close')
      expect(performance.now() - started, 'not before the handler had its time').toBeGreaterThanOrEqual(190)
      expect(signal?.aborted).toBe(true)
      expect(signal?.reason).toMatchObject({ name: 'StreamError', code: 'ABORTED' })
      expect(await within(member.ended, 'the end of run')).toBeUndefined()
      const next = await bench.member()
      await bench.handledAll(['endless'])
      expect(next.succeeded).toEqual(['endless'])
    },
  )

  suite.test('a retry that waits for its time does not hold up close, and comes again', {}, async (bench) => {
    const member = await bench.member({
      handler: () => {
        throw new Error('fails')
      },
      settings: { retry: quickRetry(10, { minDelayMs: 10_000, maxDelayMs: 10_000 }) },
    })
    void bench.ledger.send(bench.producer(), 1, { key: 'k', id: 'retrying' })
    await bench.until(() => member.handlings.some((one) => one.outcome === 'failed'), 'the first failure')
    const started = performance.now()
    await within(member.loop.close(), 'the end of close')
    expect(performance.now() - started).toBeLessThan(5_000)
    await bench.member()
    await bench.handledAll(['retrying'])
  })

  suite.test(
    "closing the transport closes loops first, so that a running handler's sends are still confirmed",
    { topics: 2 },
    async (bench) => {
      const [incoming = '', outgoing = ''] = bench.topics
      const gate = new Gate()
      const shared = bench.transport()
      const onwards = await bench.member({ topic: outgoing })
      const producer = bench.producer({ topic: outgoing, transport: shared })
      await producer.init()
      const handler = async (): Promise<void> => {
        await gate.opened
        await producer.send('onwards', { id: 'sent while closing' })
      }
      const member = await bench.member({ topic: incoming, transport: shared, handler })
      void bench.ledger.send(bench.producer({ topic: incoming, transport: bench.transport() }), 1, { id: 'incoming' })
      await bench.until(() => member.handlings.length === 1, 'the handler to start')
      const closed = shared.close()
      gate.open()
      await within(closed, 'the end of close')
      expect(member.succeeded).toEqual(['incoming'])
      await bench.until(() => onwards.succeeded.includes('sent while closing'), "the handler's own message")
      thrown(() => shared.producer(outgoing), 'CLOSED')
      thrown(() => shared.consumer(outgoing, { group: bench.group }), 'CLOSED')
    },
  )
}

function twice(suite: Suite): void {
  suite.test(
    'close at the same time, close again: one promise, no error; later calls reject with CLOSED',
    {},
    async (bench) => {
      const transport = bench.transport()
      const member = await bench.member({ transport })
      const closed = member.loop.close()
      expect(member.loop.close({ timeoutMs: 1 })).toBe(closed)
      await Promise.all([closed, member.loop.close(), transport.close(), transport.close()])
      expect(transport.close()).toBe(transport.close())
      await member.loop.close()
      await rejection(member.loop.init(), 'CLOSED')
      await rejection(member.loop.run(), 'CLOSED')
      expect(await member.ended).toBeUndefined()
    },
  )

  suite.test('a loop that was never started closes; one that is joining closes', {}, async (bench) => {
    const idle = bench.transport().consumer(bench.topic, { group: bench.group, partitions: bench.partitions })
    await within(idle.close(), 'the end of close')
    const joining = bench.start()
    await within(joining.leave(), 'the end of close while joining')
    const ended = await within(joining.ended, 'the end of run')
    if (ended !== undefined) expect(ended).toMatchObject({ code: 'CLOSED' })
  })

  suite.test('a second handler and a second run are refused with CONFLICT', {}, async (bench) => {
    const member = await bench.member()
    thrown(() => member.loop.handle(() => {}), 'CONFLICT')
    await rejection(member.loop.run(), 'CONFLICT')
    void bench.ledger.send(bench.producer(), 1)
    await bench.handledCount(1)
  })
}

function ways(suite: Suite): void {
  suite.test('`await using` closes', {}, async (bench) => {
    let loop: { stats(): { readonly connected: boolean }; init(): Promise<void> }
    let opened: { producer(topic: string): unknown }
    {
      await using transport = bench.transport()
      await using consumer = transport.consumer(bench.topic, { group: bench.group, partitions: bench.partitions })
      await using producer = transport.producer(bench.topic, { partitions: bench.partitions })
      await consumer.init()
      await producer.init()
      expect(consumer.stats().connected).toBe(true)
      loop = consumer
      opened = transport
    }
    expect(loop.stats().connected).toBe(false)
    await rejection(loop.init(), 'CLOSED')
    thrown(() => opened.producer(bench.topic), 'CLOSED')
  })

  suite.test("run's signal closes the loop; init's signal ends the wait", {}, async (bench) => {
    const ending = new AbortController()
    const loop = bench.transport().consumer(bench.topic, { group: bench.group, partitions: bench.partitions })
    await rejection(loop.init({ signal: AbortSignal.abort() }), 'ABORTED')
    loop.handle(() => {})
    const run = loop.run({ signal: ending.signal })
    await loop.init()
    ending.abort()
    expect(await within(run, 'the end of run')).toBeUndefined()
    await rejection(loop.init(), 'CLOSED')
    const late = bench.transport().consumer(bench.topic, { group: bench.group, partitions: bench.partitions })
    late.handle(() => {})
    expect(await within(late.run({ signal: AbortSignal.abort() }), 'the end of run')).toBeUndefined()
  })

  suite.test('pause starts no handler, resume goes on', {}, async (bench) => {
    const member = await bench.member({
      handler: (message) => (message.id === 'first' ? member.loop.pause() : undefined),
      settings: { concurrency: 1 },
    })
    const producer = bench.producer()
    void bench.ledger.send(producer, 1, { key: 'k', id: 'first' })
    await bench.handledAll(['first'])
    void bench.ledger.send(producer, 2, { key: 'k', id: 'second' })
    await bench.until(() => member.loop.stats().received === 2, 'the second message to arrive')
    expect(member.handlings.map((one) => one.id)).toEqual(['first'])
    member.loop.resume()
    await bench.handledAll(['second'])
    await bench.ledger.allConfirmed()
  })

  suite.test(
    '`for await` acks a message when the next one is asked for; breaking out leaves the one at hand',
    {},
    async (bench) => {
      const keys = ['k']
      const loop = bench.transport().consumer(bench.topic, { group: bench.group, partitions: bench.partitions })
      await loop.init()
      const producer = bench.producer()
      for (const id of ['one', 'two', 'three']) void bench.ledger.send(producer, id, { id, key: 'k' })
      void bench.ledger.send(producer, 'other', { id: 'other', key: 'other' })
      const seen: string[] = []
      for await (const message of loop) {
        expect(loop.stats().running, 'only the message at hand is at work').toBe(1)
        if (message.id === 'other') continue
        seen.push(message.id)
        if (message.id === 'two') break
      }
      expect(seen).toEqual(['one', 'two'])
      await rejection(loop.init(), 'CLOSED')
      expect((await leftFor(bench, keys)).filter((id) => id !== 'other')).toEqual(['two', 'three'])
      await bench.ledger.allConfirmed()
    },
  )
}
