import { type ConsumerSettings, MemoryDedupeStore } from '@streamswitch/core'
import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { Gate } from './collect.js'
import { dedupeRaces } from './dedupe-races.js'
import { countingExtensions, FalteringStore } from './dedupe-stores.js'
import { isIdle, type StoreTest } from './dedupe-test.js'
import { dedupeInTransaction } from './dedupe-transaction.js'
import { thrown } from './expect-error.js'
import type { OpenDedupeStore } from './settings.js'
import type { Suite } from './suite.js'

/** Messages that are handled once per group, however often they are sent or redelivered. */
export function dedupe(suite: Suite): void {
  const memory = (_url: string): OpenDedupeStore => ({ store: new MemoryDedupeStore(), close: async () => {} })
  for (const [name, open] of Object.entries({ memory, ...suite.settings.dedupeStores })) {
    suite.describe(`dedupe with the store in ${name}`, () => {
      const test: StoreTest = (title, shape, body) =>
        suite.test(title, shape, async (bench) => {
          const opened = await open(bench.url)
          try {
            await body(bench, opened.store)
          } finally {
            await bench.close()
            await opened.close()
          }
        })
      resends(suite, test)
      failures(test)
      dedupeRaces(suite, test)
    })
  }
  suite.describe('dedupe', () => {
    options(suite)
    dedupeInTransaction(suite)
  })
}

const IDS = Array.from({ length: 24 }, (_, index) => `id-${index}`)

function resends(suite: Suite, test: StoreTest): void {
  test(
    'resends are handled once, in each of two groups',
    { groups: 2, partitions: suite.partitions },
    async (bench, store) => {
      const [one = '', two = ''] = bench.groups
      const settings = { dedupe: { store } }
      const members = await Promise.all([
        bench.member({ group: one, settings }),
        bench.member({ group: one, settings }),
        bench.member({ group: two, settings }),
      ])
      const told: string[] = []
      for (const member of members) member.loop.on('deduplicated', ({ id }) => told.push(id))
      const total = (name: 'handled' | 'deduplicated' | 'conflicts'): number =>
        members.reduce((sum, { loop }) => sum + loop.stats()[name], 0)
      const producer = bench.producer()
      // Half of them without a key: a resend of those must be recognised as well, whichever partition it goes to.
      const send = (id: string, index: number): Promise<unknown> =>
        bench.ledger.send(producer, id, index % 2 === 0 ? { id } : { id, key: `key-${index % 5}` })
      for (let round = 0; round < 3; round += 1) IDS.forEach((id, index) => void send(id, index))
      await bench.ledger.allConfirmed()
      await Promise.all(IDS.map(send))
      for (const group of bench.groups) await bench.handledAll(IDS, group)
      // Where the sender repeats, a receiver may recognise a repetition before any loop sees it.
      const expected = suite.senderRetries ? 2 * IDS.length : 2 * 4 * IDS.length
      await bench.until(
        () => members.every(isIdle) && total('handled') + total('deduplicated') >= expected,
        'everything settled',
      )
      for (const group of bench.groups)
        expect(
          bench.journal.all
            .filter((start) => start.group === group)
            .map((start) => start.id)
            .sort(),
        ).toEqual([...IDS].sort())
      expect(total('handled')).toBe(2 * IDS.length)
      expect(total('conflicts')).toBe(0)
      expect(told).toHaveLength(total('deduplicated'))
    },
  )

  test('a mark is forgotten after ttlMs', {}, async (bench, store) => {
    await bench.member({ settings: { dedupe: { store, ttlMs: 1_000 } } })
    const producer = bench.producer()
    await bench.ledger.send(producer, 1, { id: 'forgotten' })
    await bench.until(() => bench.handled().length === 1, 'the first handling')
    let resent = 1
    while (bench.journal.all.length === 1) {
      await bench.ledger.send(producer, 1, { id: 'forgotten', key: `resend-${resent}` })
      resent += 1
    }
    expect(resent, 'the first resend came too early').toBeGreaterThan(2)
  })
}

function failures(test: StoreTest): void {
  test('a failed handling is repeated, and what went to the dead letters is not marked', {}, async (bench, store) => {
    const settings: Partial<ConsumerSettings> = {
      dedupe: { store },
      retry: quickRetry(3),
      deadLetter: false,
      errorPolicy: 'restart',
    }
    let poisonous = true
    const member = await bench.member({
      settings,
      handler: (message) => {
        if (message.attempt < 3 || (message.id === 'poison' && poisonous)) throw new Error('not yet')
      },
    })
    const producer = bench.producer()
    // Rejected where the receiver answers the sender.
    bench.ledger.failuresExpected = true
    await bench.ledger.send(producer, 1, { id: 'poison', key: 'p' }).catch(() => {})
    await bench.ledger.send(producer, 1, { id: 'slow', key: 's' })
    await bench.handledAll(['slow'])
    await bench.until(() => isIdle(member), 'the failed message settled')
    const attempts = bench.journal.all.filter((start) => start.id === 'slow').map((start) => start.attempt)
    expect(attempts).toEqual([1, 2, 3])
    expect(member.loop.stats()).toMatchObject({ handled: 1, deduplicated: 0, conflicts: 0 })
    poisonous = false
    await bench.ledger.send(producer, 1, { id: 'poison', key: 'p' })
    await bench.handledAll(['poison'])
  })

  test('a store that does not answer costs no attempt and no message', {}, async (bench, store) => {
    const faltering = new FalteringStore(store)
    const member = await bench.member({
      settings: { dedupe: { store: faltering }, retry: quickRetry(1), deadLetter: false },
    })
    const errors: string[] = []
    member.loop.on('error', ({ code }) => errors.push(code))
    bench.ledger.series(bench.producer(), ['a', 'b', undefined], 5)
    await bench.handledCount(15)
    await bench.ledger.allConfirmed()
    await bench.until(() => isIdle(member), 'everything settled')
    expect(faltering.refusals, 'the store has refused claims and completions').toBe(0)
    expect(errors).toContain('UNAVAILABLE')
    expect(bench.journal.all.map((start) => start.attempt)).toEqual(Array(15).fill(1))
    expect(member.loop.stats()).toMatchObject({ handled: 15, retried: 0, deduplicated: 0, conflicts: 0 })
  })

  test('a message whose handler is at work waits, and is handled once that has failed', {}, async (bench, store) => {
    const gate = new Gate()
    const counting = countingExtensions(store)
    let starts = 0
    const member = await bench.member({
      settings: {
        dedupe: { store: counting, claimMs: 300 },
        retry: quickRetry(1),
        deadLetter: false,
        errorPolicy: 'restart',
      },
      handler: async () => {
        starts += 1
        if (starts > 1) return
        await gate.opened
        throw new Error('the first one fails')
      },
    })
    const producer = bench.producer()
    bench.ledger.failuresExpected = true
    // A resend over HTTP is known by its id and its time: these two are no resends of each other.
    const timestamp = Date.now()
    void bench.ledger.send(producer, 1, { id: 'once', key: 'one', timestamp }).catch(() => {})
    await bench.until(() => starts === 1, 'the first handler')
    void bench.ledger.send(producer, 1, { id: 'once', key: 'two', timestamp: timestamp + 1 }).catch(() => {})
    void bench.ledger.send(producer, 1, { id: 'other', key: 'three' })
    await bench.handledAll(['other'])
    await bench.until(() => counting.extensions >= 6, 'the claim extended until twice its time is over')
    expect(bench.journal.all.filter((start) => start.id === 'once')).toHaveLength(1)
    gate.open()
    await bench.handledAll(['once'])
    await bench.until(() => isIdle(member), 'everything settled')
    expect(bench.journal.all.filter((start) => start.id === 'once').map((start) => start.outcome)).toEqual([
      'failed',
      'succeeded',
    ])
  })
}

function options(suite: Suite): void {
  suite.test('options that say nothing or too much are refused', {}, async (bench) => {
    const transport = bench.transport()
    const configure = (dedupe: unknown): unknown =>
      transport.consumer(bench.topic, { group: bench.group, dedupe: dedupe as ConsumerSettings['dedupe'] })
    expect(thrown(() => configure({}), 'INVALID_ARGUMENT').message).toContain("'store' or a 'transaction'")
    expect(thrown(() => configure({ store: {} }), 'INVALID_ARGUMENT').message).toContain('dedupe.store')
    expect(thrown(() => configure({ transaction: () => {} }), 'INVALID_ARGUMENT').message).toContain(
      'dedupe.transaction',
    )
    const store = new MemoryDedupeStore()
    expect(thrown(() => configure({ store, ttlMs: 0, claimMs: 1 }), 'INVALID_ARGUMENT').message).toMatch(
      /ttlMs[\s\S]*claimMs/,
    )
  })
}
