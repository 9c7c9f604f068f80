import { expect } from 'vitest'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

const PRODUCERS = 50
const TRANSPORTS = 5
const MEMBERS = 3

/** Item 2: many publish and subscribe at once. */
export function concurrency(suite: Suite): void {
  suite.describe('concurrent publishers and subscribers', () => {
    suite.test(
      `${PRODUCERS} producers of ${load(100)} messages each, ${MEMBERS} members`,
      { partitions: suite.partitions },
      async (bench) => {
        await bench.members(MEMBERS, { settings: { concurrency: 20 } })
        const transports = Array.from({ length: TRANSPORTS }, () => bench.transport())
        for (let number = 0; number < PRODUCERS; number += 1) {
          const transport = transports[number % TRANSPORTS]
          const producer = bench.producer(transport === undefined ? {} : { transport })
          bench.ledger.series(producer, [`producer-${number}`], load(100))
        }
        await bench.handledCount(PRODUCERS * load(100))
        await expectExactlyOnceInOrder(bench)
        for (const one of bench.handled())
          expect((one.value as { key: unknown }).key, 'value and key belong together').toBe(one.key)
      },
    )

    suite.test(`one producer, ${load(3_000)} sends that nobody awaits singly`, {}, async (bench) => {
      await bench.member({ settings: { concurrency: 50 } })
      const producer = bench.producer({ maxBufferedMessages: 500 })
      bench.ledger.series(producer, ['a', 'b', undefined], load(1_000))
      await bench.handledCount(load(3_000))
      await producer.flush()
      await expectExactlyOnceInOrder(bench)
      expect(producer.stats()).toMatchObject({
        sent: load(3_000),
        accepted: load(3_000),
        failed: 0,
        buffered: 0,
        bufferedBytes: 0,
        waiting: 0,
      })
    })

    suite.test(
      'no more handlers run at once than concurrency says, and as many where keys allow',
      {},
      async (bench) => {
        let running = 0
        let most = 0
        const handler = async (): Promise<void> => {
          running += 1
          most = Math.max(most, running)
          // Handlers end only once as many as may run at once do, as long as there are enough messages left.
          const left = 60 - bench.journal.all.length
          if (most < 7 && left > 0) await bench.until(() => most === 7, '7 handlers at once')
          running -= 1
        }
        await bench.member({ handler, settings: { concurrency: 7 } })
        bench.ledger.series(
          bench.producer(),
          Array.from({ length: 20 }, (_, index) => `key-${index}`),
          3,
        )
        await bench.handledCount(60)
        expect(most).toBe(7)
      },
    )
  })
}
