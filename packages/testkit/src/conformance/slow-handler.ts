import { setTimeout as duration } from 'node:timers/promises'
import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { load, TEST_TIMEOUT_MS, WAIT_MS } from './load.js'
import type { Suite } from './suite.js'

/** Item 13: handlers that take longer than the transport's own patience, and longer than they may. */
export function slowHandler(suite: Suite): void {
  const { transport = {}, consumer = {}, handlerMs } = suite.settings.shortTimeouts ?? { handlerMs: 3_000 }
  suite.describe('slow handlers', () => {
    suite.test(
      `a handler of ${handlerMs} ms, longer than session, lease and ack timeouts: no duplicate, and the others flow`,
      { partitions: suite.partitions },
      async (bench) => {
        // How long it takes is what is being tested, not a wait for something else.
        const handler = (message: { readonly id: string }): unknown =>
          message.id === 'slow' ? duration(handlerMs) : undefined
        const join = () =>
          bench.member({
            handler,
            settings: { concurrency: 4, ...consumer },
            transport: bench.transport({ options: transport }),
          })
        const members = [await join(), await join()]
        const producer = bench.producer({ transport: bench.transport({ options: transport }) })
        void bench.ledger.send(producer, 'slow', { id: 'slow', key: 'slow' })
        void bench.ledger.send(producer, 'held up', { id: 'held up', key: 'slow' })
        const quick = Array.from({ length: 20 }, (_, index) => `quick-${index}`)
        bench.ledger.series(producer, quick, 3)
        const isQuick = (one: { readonly key: string | undefined }): boolean => one.key !== 'slow'
        await bench.until(() => bench.handled().filter(isQuick).length === 60, 'the quick messages')
        const held = bench.handled().filter((one) => !isQuick(one))
        expect(held, 'the slow one holds up nobody but its own key').toEqual([])
        await bench.handledCount(62, bench.group, { timeoutMs: handlerMs + WAIT_MS })
        await expectExactlyOnceInOrder(bench)
        expect(new Set(bench.journal.all.map((one) => one.attempt))).toEqual(new Set([1]))
        for (const member of members)
          expect(member.loop.stats(), 'no heartbeat was missed').toMatchObject({ reconnects: 0, overlaps: 0 })
      },
      TEST_TIMEOUT_MS + handlerMs,
    )

    timeouts(suite)
    backpressure(suite)
  })
}

function timeouts(suite: Suite): void {
  suite.test(
    'a handler that exceeds handlerTimeoutMs: its signal aborts, the attempt has failed, the message comes again',
    {},
    async (bench) => {
      const reasons: unknown[] = []
      await bench.member({
        settings: { handlerTimeoutMs: 100, retry: quickRetry(5) },
        handler: (message) => {
          if (message.attempt > 1) return undefined
          return new Promise((_resolve, reject) => {
            message.signal.addEventListener('abort', () => {
              reasons.push(message.signal.reason)
              reject(message.signal.reason)
            })
          })
        },
      })
      bench.ledger.series(bench.producer(), ['k'], 2)
      await bench.handledCount(2)
      await expectHistory(bench)
      expect(reasons.length).toBeGreaterThanOrEqual(1)
      for (const reason of reasons) expect(reason).toMatchObject({ name: 'StreamError', code: 'TIMEOUT' })
    },
  )

  suite.test(
    'a handler that ignores its signal can not block its partition for ever: errorPolicy decides',
    {},
    async (bench) => {
      const member = await bench.member({
        settings: { handlerTimeoutMs: 50, handlerGraceMs: 50, errorPolicy: 'restart' },
        handler: (message) => (message.id === 'endless' ? new Promise(() => {}) : undefined),
      })
      const producer = bench.producer()
      void bench.ledger.send(producer, 1, { id: 'endless', key: 'k' })
      void bench.ledger.send(producer, 2, { id: 'after', key: 'k' })
      await bench.handledAll(['after'])
      await bench.ledger.allConfirmed()
      expect(member.loop.stats().overlaps, 'reported as an overlap').toBe(1)
    },
  )
}

async function expectHistory(bench: Parameters<typeof expectExactlyOnceInOrder>[0]): Promise<void> {
  await bench.ledger.allConfirmed()
  expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [] })
}

function backpressure(suite: Suite): void {
  suite.test('a slow loop takes no more than its prefetch: memory stays flat', {}, async (bench) => {
    const prefetch = 50
    const total = load(1_000)
    let most = 0
    const member = await bench.member({
      settings: { prefetch, maxAheadMessages: 2 * prefetch, concurrency: 1 },
      handler: async () => {
        const { waiting, unsettled } = member.loop.stats()
        most = Math.max(most, waiting, unsettled)
        await new Promise(setImmediate)
      },
    })
    const producer = bench.producer({ maxBufferedMessages: 200 })
    bench.ledger.series(producer, ['a', 'b', 'c', 'd', undefined], total / 5)
    await bench.handledCount(total)
    await expectExactlyOnceInOrder(bench)
    expect(most, 'messages in this process at once').toBeLessThanOrEqual(3 * prefetch)
    expect(member.loop.stats()).toMatchObject({ waiting: 0, unsettled: 0, inboxBytes: 0, running: 0 })
  })
}
