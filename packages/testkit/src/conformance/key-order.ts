import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { FailurePlan } from './failure-plan.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

/** As many as it takes for each partition to have one, wherever a transport puts them: a member with a single partition has work, too. */
const KEYS = Array.from({ length: 48 }, (_, index) => `key-${index}`)
const MESSAGES = 20
const SEED = 20_250_117

/** Item 5: order per key, at high concurrency, with failures, with one and with several members. */
export function keyOrder(suite: Suite): void {
  suite.describe('order per key', () => {
    suite.forCapability('keyOrder', () => {
      ordered(suite, 1)
      if (suite.has('competingMembers')) ordered(suite, 3)
      slowedDown(suite)
    })
    unordered(suite)
  })
}

function ordered(suite: Suite, members: number): void {
  const title = `${KEYS.length} keys over ${suite.partitions} partitions at concurrency 64 with injected failures, ${members === 1 ? 'one member' : `${members} members`}`
  suite.test(title, { partitions: suite.partitions }, async (bench) => {
    const plan = new FailurePlan(SEED, 0.1)
    const handler = async (message: { readonly id: string; readonly value: unknown }): Promise<void> => {
      // Some end at once, some later: without the order of keys they would overtake each other.
      if ((message.value as { index: number }).index % 3 === 0) await new Promise(setImmediate)
      plan.attempt(message.id)
    }
    const joined = await bench.members(members, { handler, settings: { concurrency: 64, retry: quickRetry(5) } })
    const producer = bench.producer()
    for (let index = 0; index < load(MESSAGES); index += 1) {
      for (const key of KEYS) void bench.ledger.send(producer, { key, index }, { key, id: `${key}/${index}` })
    }
    await bench.handledCount(KEYS.length * load(MESSAGES))
    await expectExactlyOnceInOrder(bench)
    expect(plan.injected, 'failures were injected').toBeGreaterThan(0)
    expect(bench.journal.all.filter((one) => one.outcome === 'failed')).toHaveLength(plan.injected)
    expect(
      joined.every((member) => member.handlings.length > 0),
      'every member took part',
    ).toBe(true)
    expect(joined.reduce((total, member) => total + member.loop.stats().overlaps, 0)).toBe(0)
  })
}

function slowedDown(suite: Suite): void {
  suite.test(
    'a failing message at the head holds its key, whatever batch its successors came in',
    {},
    async (bench) => {
      const plan = new FailurePlan(SEED, 1)
      await bench.member({
        handler: (message) => plan.attempt(message.id),
        settings: { concurrency: 64, retry: quickRetry(5), prefetch: 5 },
      })
      bench.ledger.series(bench.producer({ maxBatchRecords: 3 }), ['a', 'b'], load(20))
      await bench.handledCount(2 * load(20))
      await expectExactlyOnceInOrder(bench)
      expect(plan.injected).toBeGreaterThanOrEqual(2 * load(20))
    },
  )
}

function unordered(suite: Suite): void {
  suite.test("ordering 'none' lets messages of one key overtake each other, and loses none", {}, async (bench) => {
    let first = true
    const handler = async (message: { readonly id: string }): Promise<void> => {
      if (!first) return
      first = false
      // The first one ends only after another one of its key: with order it never would.
      await bench.until(() => bench.handled().some((one) => one.id !== message.id), 'a later message of the same key')
    }
    await bench.member({ handler, settings: { ordering: 'none', concurrency: 8 } })
    const producer = bench.producer()
    // Transports that keep one request of a key in flight wait for the first one to end: keyless messages they don't hold back.
    const keys = suite.senderRetries ? [undefined] : ['k']
    bench.ledger.series(producer, keys, load(30))
    await bench.handledCount(load(30))
    await bench.ledger.allConfirmed()
    expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [] })
  })
}
