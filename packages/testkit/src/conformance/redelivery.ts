import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { Gate } from './collect.js'
import { expectExactlyOnceInOrder, leftFor } from './expect-history.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

/** Item 4: what fails comes again, and holds up its key alone. */
export function redelivery(suite: Suite): void {
  suite.describe('redelivery', () => {
    retries(suite)
    policies(suite)
  })
}

function retries(suite: Suite): void {
  suite.test(
    'a failing handler gets the same message again, attempts counted from 1, until it succeeds',
    {},
    async (bench) => {
      const member = await bench.member({
        handler: (message) => {
          if (message.attempt < 3) throw new Error(`attempt ${message.attempt}`)
        },
      })
      const sent = bench.ledger.send(
        bench.producer(),
        { text: 'again' },
        { key: 'k', headers: { plain: 'yes' }, timestamp: 1_600_000_000_000 },
      )
      await bench.handledCount(1)
      const { id } = await sent
      const unchanged = {
        id,
        key: 'k',
        value: { text: 'again' },
        headers: { plain: 'yes' },
        timestamp: 1_600_000_000_000,
        topic: bench.topic,
      }
      expect(member.handlings.map((one) => ({ attempt: one.attempt, outcome: one.outcome }))).toEqual([
        { attempt: 1, outcome: 'failed' },
        { attempt: 2, outcome: 'failed' },
        { attempt: 3, outcome: 'succeeded' },
      ])
      for (const one of member.handlings) expect(one).toMatchObject(unchanged)
      await member.leave()
      expect(await leftFor(bench, ['k']), 'acked once it succeeded').toEqual([])
    },
  )

  suite.test('no attempt comes sooner than retry.minDelayMs after the one before', {}, async (bench) => {
    const starts: number[] = []
    await bench.member({
      settings: { retry: quickRetry(4, { minDelayMs: 200, maxDelayMs: 300, factor: 1 }) },
      handler: () => {
        starts.push(performance.now())
        if (starts.length < 4) throw new Error('again')
      },
    })
    void bench.ledger.send(bench.producer(), 1, { key: 'k' })
    await bench.handledCount(1)
    await bench.ledger.allConfirmed()
    // Timers of Node.js may be a millisecond early.
    for (const [index, start] of starts.slice(1).entries()) expect(start - (starts[index] ?? 0)).toBeGreaterThan(198)
  })

  suite.test('a handler may fail in any way: throw at once, reject with nothing at all', {}, async (bench) => {
    const ways: (() => unknown)[] = [
      () => {
        throw new Error('at once')
      },
      () => Promise.reject(null),
      () => Promise.reject(undefined),
      () => 'a value that nobody asked for',
    ]
    const member = await bench.member({ handler: (message) => ways[message.attempt - 1]?.() })
    void bench.ledger.send(bench.producer(), 1, { key: 'k' })
    await bench.handledCount(1)
    await bench.ledger.allConfirmed()
    expect(member.handlings.map((one) => one.attempt)).toEqual([1, 2, 3, 4])
  })

  suite.test('only the key of a failing message waits; its later messages come after it', {}, async (bench) => {
    let failing = true
    const handler = (message: { readonly key: string | undefined }): void => {
      if (message.key === 'failing' && failing) throw new Error('not yet')
    }
    await bench.member({ handler, settings: { retry: quickRetry(1_000_000) } })
    bench.ledger.series(bench.producer(), ['failing', 'other', 'third', undefined], load(20))
    await bench.handledCount(3 * load(20))
    await bench.until(
      () => bench.journal.all.filter((one) => one.key === 'failing').length >= 3,
      'three attempts of the failing message',
    )
    expect(
      new Set(bench.journal.all.filter((one) => one.key === 'failing').map((one) => one.id)).size,
      'later messages of the key are withheld',
    ).toBe(1)
    failing = false
    await bench.handledCount(4 * load(20))
    await expectExactlyOnceInOrder(bench)
  })

  suite.test('a message is withheld while its predecessor of the same key is at work', {}, async (bench) => {
    const gate = new Gate()
    await bench.member({ handler: (message) => (message.key === 'held' ? gate.opened : undefined) })
    bench.ledger.series(bench.producer(), ['held', 'free'], load(10))
    await bench.handledCount(load(10))
    expect(bench.journal.all.filter((one) => one.key === 'held')).toHaveLength(1)
    gate.open()
    await bench.handledCount(2 * load(10))
    await expectExactlyOnceInOrder(bench)
  })
}

function policies(suite: Suite): void {
  const poison = (message: { readonly id: string }): void => {
    if (message.id === 'poison') throw new Error('poison')
  }
  const settings = { deadLetter: false, retry: quickRetry(2) } as const

  if (suite.senderRetries) {
    suite.test('without dead letters the failure goes back to the sender, and the loop goes on', {}, async (bench) => {
      bench.ledger.failuresExpected = true
      const member = await bench.member({ handler: poison, settings })
      const producer = bench.producer()
      const refused = bench.ledger.send(producer, 1, { id: 'poison', key: 'k', timeoutMs: 1_000 })
      const passed = bench.ledger.send(producer, 2, { id: 'neighbour', key: 'other' })
      await expect(refused).rejects.toMatchObject({ name: 'StreamError' })
      await passed
      expect(member.failure).toBeUndefined()
      expect(member.succeeded).toEqual(['neighbour'])
    })
    return
  }

  suite.test(
    "without dead letters, errorPolicy 'stop' ends the loop with the error and leaves the message",
    {},
    async (bench) => {
      const member = await bench.member({ handler: poison, settings: { ...settings, errorPolicy: 'stop' } })
      void bench.ledger.send(bench.producer(), 1, { id: 'poison', key: 'k' })
      await bench.until(() => member.failure !== undefined, 'the end of the loop', { toleratesEnd: true })
      expect(await member.ended).toMatchObject({ name: 'StreamError', message: expect.stringContaining('poison') })
      expect(member.handlings.map((one) => one.attempt)).toEqual([1, 2])
      const next = await bench.member()
      await bench.until(() => next.succeeded.includes('poison'), 'the message at the next member', {
        toleratesEnd: true,
      })
    },
  )

  suite.test("without dead letters, errorPolicy 'restart' skips exactly the failing message", {}, async (bench) => {
    const member = await bench.member({ handler: poison, settings: { ...settings, errorPolicy: 'restart' } })
    const producer = bench.producer()
    void bench.ledger.send(producer, 1, { id: 'before', key: 'k' })
    void bench.ledger.send(producer, 2, { id: 'poison', key: 'k' })
    void bench.ledger.send(producer, 3, { id: 'after', key: 'k' })
    await bench.handledAll(['before', 'after'])
    expect(member.handlings.map((one) => one.id)).toEqual(['before', 'poison', 'poison', 'after'])
    await member.leave()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })
}
