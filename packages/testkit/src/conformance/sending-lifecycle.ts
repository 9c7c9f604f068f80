import { expect } from 'vitest'
import { within } from './collect.js'
import { rejection, thrown } from './expect-error.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

/** Longest linger there is: what is sent stays in this process until it is flushed. */
const LONG_LINGER_MS = 60_000

/** Item 6, the sending side: every send has one outcome, also when the producer is closed meanwhile. */
export function sendingLifecycle(suite: Suite): void {
  suite.describe('closing producers', () => {
    whileSending(suite)
    afterwards(suite)
    signals(suite)
  })
}

function whileSending(suite: Suite): void {
  suite.test('close waits for the outcome of everything sent', {}, async (bench) => {
    await bench.member({ settings: { concurrency: 50 } })
    const producer = bench.producer()
    bench.ledger.series(producer, ['a', 'b', undefined], load(200))
    await within(producer.close(), 'the end of close')
    await bench.ledger.allConfirmed()
    await bench.handledCount(3 * load(200))
    expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [] })
    expect(producer.stats()).toMatchObject({ accepted: 3 * load(200), failed: 0, buffered: 0, connected: false })
  })

  suite.test('close sends what still lingers', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer({ lingerMs: LONG_LINGER_MS })
    await producer.init()
    bench.ledger.series(producer, ['k'], 10)
    expect(producer.stats()).toMatchObject({ accepted: 0, buffered: 10 })
    await within(producer.close(), 'the end of close')
    await bench.ledger.allConfirmed()
    await bench.handledCount(10)
  })

  suite.test(
    'close without patience: each send is confirmed or rejected with CLOSED, once, and nothing confirmed is lost',
    {},
    async (bench) => {
      await bench.member({ settings: { concurrency: 50 } })
      bench.ledger.failuresExpected = true
      const producer = bench.producer({ maxBatchRecords: 10 })
      await producer.init()
      const total = load(1_000)
      const outcomes: string[] = []
      const settled = Array.from({ length: total }, (_, index) =>
        bench.ledger.send(producer, index, { key: `key-${index % 10}` }).then(
          () => outcomes.push('confirmed'),
          (error: { readonly code?: string }) => outcomes.push(error.code ?? 'no code'),
        ),
      )
      await within(producer.close({ timeoutMs: 0 }), 'the end of close')
      await within(Promise.all(settled), 'an outcome of every send')
      expect(outcomes).toHaveLength(total)
      expect(
        outcomes.filter((outcome) => outcome !== 'confirmed' && outcome !== 'CLOSED'),
        'the only reason to fail is the close',
      ).toEqual([])
      const { accepted, failed, sent, buffered } = producer.stats()
      expect({ sum: accepted + failed, sent, buffered }).toEqual({ sum: total, sent: total, buffered: 0 })
      expect(accepted).toBe(outcomes.filter((outcome) => outcome === 'confirmed').length)
      const confirmed = bench.ledger.sent().filter((message) => message.confirmed === true)
      await bench.handledAll(confirmed.map((message) => message.id))
      expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [] })
    },
  )

  suite.test('flush resolves when everything sent before it has its outcome', {}, async (bench) => {
    await bench.member()
    const producer = bench.producer({ lingerMs: LONG_LINGER_MS })
    await producer.init()
    bench.ledger.series(producer, ['k'], 10)
    await within(producer.flush(), 'the end of flush')
    expect(bench.ledger.sent().map((message) => message.confirmed)).toEqual(Array.from({ length: 10 }, () => true))
    await within(producer.flush(), 'a flush of nothing')
    await bench.handledCount(10)
  })
}

function afterwards(suite: Suite): void {
  suite.test(
    'close at the same time, close again: one promise, no error; later calls reject with CLOSED',
    {},
    async (bench) => {
      await bench.member()
      const producer = bench.producer()
      await bench.ledger.send(producer, 1)
      const closed = producer.close()
      expect(producer.close({ timeoutMs: 1 })).toBe(closed)
      await Promise.all([closed, producer.close()])
      await producer.close()
      await rejection(producer.send(2), 'CLOSED')
      await rejection(producer.sendBatch([1, 2]), 'CLOSED')
      await rejection(producer.init(), 'CLOSED')
      await bench.handledCount(1)
      expect(bench.handled().map((one) => one.value)).toEqual([1])
    },
  )

  suite.test('a producer that never sent closes; one that is connecting closes', {}, async (bench) => {
    await within(bench.producer().close(), 'the end of close')
    const connecting = bench.producer()
    const opening = connecting.init().then(
      () => undefined,
      (error: unknown) => error,
    )
    await within(connecting.close(), 'the end of close while connecting')
    const error = await within(opening, 'an outcome of init')
    if (error !== undefined) expect(error).toMatchObject({ code: 'CLOSED' })
  })

  suite.test('a closed transport closes its producers and makes no new ones', {}, async (bench) => {
    await bench.member()
    const transport = bench.transport()
    const producer = bench.producer({ transport })
    bench.ledger.series(producer, ['k'], 10)
    await within(transport.close(), 'the end of close')
    await bench.ledger.allConfirmed()
    await rejection(producer.send(1), 'CLOSED')
    thrown(() => transport.producer(bench.topic), 'CLOSED')
    await bench.handledCount(10)
  })
}

function signals(suite: Suite): void {
  suite.test('a send whose signal is aborted already rejects with ABORTED, and nothing is sent', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer()
    const reason = new Error('changed my mind')
    const error = await rejection(producer.send('no', { key: 'k', signal: AbortSignal.abort(reason) }), 'ABORTED')
    expect(error.cause).toBe(reason)
    await rejection(producer.init({ signal: AbortSignal.abort() }), 'ABORTED')
    await bench.ledger.send(producer, 'yes', { key: 'k' })
    await bench.handledCount(1)
    expect(member.handlings.map((one) => one.value)).toEqual(['yes'])
  })

  suite.test('a signal ends the wait of a send that has not gone out; others go on', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer({ lingerMs: LONG_LINGER_MS })
    await producer.init()
    const controller = new AbortController()
    const aborted = producer.send('aborted', { key: 'k', signal: controller.signal })
    void bench.ledger.send(producer, 'kept', { key: 'k' })
    controller.abort()
    await rejection(aborted, 'ABORTED')
    await producer.flush()
    await bench.ledger.allConfirmed()
    await bench.handledCount(1)
    expect(member.handlings.map((one) => one.value)).toEqual(['kept'])
  })

  suite.test('timeoutMs of a send bounds it', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer({ lingerMs: LONG_LINGER_MS })
    await producer.init()
    const error = await rejection(producer.send('late', { key: 'k', timeoutMs: 50 }), 'TIMEOUT')
    expect(error.message).toContain('50 ms')
    void bench.ledger.send(producer, 'in time', { key: 'k' })
    await producer.flush()
    await bench.handledCount(1)
    expect(member.handlings.map((one) => one.value)).toEqual(['in time'])
  })
}
