import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { Gate } from './collect.js'
import { withoutExtending } from './dedupe-stores.js'
import { isIdle, type StoreTest } from './dedupe-test.js'
import type { Suite } from './suite.js'

/** Two that are at work on one message, since a claim ran out: exactly one settles it as done. */
export function dedupeRaces(suite: Suite, test: StoreTest): void {
  test(
    'who finishes a message that another process has finished meanwhile is told, and it is acked',
    {},
    async (bench, store) => {
      const gate = new Gate()
      const spy = withoutExtending(store)
      const member = await bench.member({
        settings: { dedupe: { store: spy, claimMs: 150 } },
        handler: () => gate.opened,
      })
      const told: string[] = []
      member.loop.on('conflict', ({ id, error }) => told.push(`${id} ${error.code}`))
      const sent = bench.ledger.send(bench.producer(), 1, { id: 'once' })
      await bench.until(() => bench.journal.all.length === 1 && spy.claims.length > 0, 'the handler')
      const other = spy.claims.map((claim) => ({ ...claim, token: 'another process' }))
      let answer: unknown
      while (answer !== 'claimed') answer = (await store.claim(other, 10_000))[0]
      expect(await store.complete(other)).toEqual(['completed'])
      gate.open()
      await sent
      await bench.until(() => told.length > 0 && isIdle(member), 'everything settled')
      expect(told).toEqual(['once CONFLICT'])
      expect(member.loop.stats()).toMatchObject({ handled: 0, conflicts: 1, deadLettered: 0 })
      expect(bench.journal.all).toHaveLength(1)
    },
  )

  // Of two requests with one id a receiver of HTTP starts one: there is no second handler in its process.
  if (suite.senderRetries) return
  for (const first of ['the one that took it over', 'the one that it was taken from'] as const) {
    test(`of two that finish the same message, ${first} being faster, the slower is told`, {}, async (bench, store) => {
      const race = await start(bench, withoutExtending(store))
      const order = first === 'the one that took it over' ? [1, 0] : [0, 1]
      for (const [place, one] of order.entries()) {
        race.gates[one]?.open()
        await bench.until(() => race.ended >= place + 1, `handler ${one} ended`)
        if (place === 0) await bench.until(() => race.settledOnce(), 'the first of them settled or told')
      }
      await bench.until(() => isIdle(race.member) && race.conflicts.length > 0, 'everything settled')
      expect(race.conflicts).toEqual(['CONFLICT'])
      expect(race.member.loop.stats()).toMatchObject({ handled: 1, conflicts: 1, deadLettered: 0 })
      expect(
        bench.journal.all.filter((one) => one.id === 'once'),
        'nobody started it again',
      ).toHaveLength(2)
    })
  }

  if (!suite.has('manualAck')) return
  test('ack() tells the slower of two in time for it to undo what it did', {}, async (bench, store) => {
    const undone: string[] = []
    const race = await start(bench, withoutExtending(store), async (message) => {
      await message.ack().catch((error: { readonly code?: string }) => {
        undone.push(String(error.code))
        throw error
      })
    })
    race.gates[1]?.open()
    // What is acked in order stays unsettled behind the slower one; that it counts as handled says that it has its mark.
    await bench.until(() => race.settledOnce(), 'the mark of the faster one')
    race.gates[0]?.open()
    await bench.until(() => isIdle(race.member) && race.conflicts.length > 0, 'everything settled')
    expect(undone).toEqual(['CONFLICT'])
    expect(race.member.loop.stats()).toMatchObject({ handled: 1, conflicts: 1, deadLettered: 0 })
    expect(bench.journal.all.filter((one) => one.id === 'once')).toHaveLength(2)
  })
}

interface Race {
  readonly member: Awaited<ReturnType<Bench['member']>>
  /** Let the first and the second handler end. */
  readonly gates: readonly [Gate, Gate]
  readonly ended: number
  readonly conflicts: readonly string[]
  /** The first that ended was settled as done, or told that it wasn't. */
  settledOnce(): boolean
}

/** Two handlers of one message at work at once. */
async function start(
  bench: Bench,
  store: Parameters<Parameters<StoreTest>[2]>[1],
  finish: (
    message: Parameters<NonNullable<Parameters<Bench['member']>[0]>['handler'] & object>[0],
  ) => unknown = () => {},
): Promise<Race> {
  const gates = [new Gate(), new Gate()] as const
  const conflicts: string[] = []
  let started = 0
  let ended = 0
  const member = await bench.member({
    settings: { dedupe: { store, claimMs: 150 } },
    handler: async (message) => {
      const gate = gates[started]
      started += 1
      await gate?.opened
      try {
        await finish(message)
      } finally {
        ended += 1
      }
    },
  })
  member.loop.on('conflict', ({ error }) => conflicts.push(error.code))
  const producer = bench.producer()
  // Two entries with one id, which no key keeps apart.
  for (const key of ['one', 'two']) void bench.ledger.send(producer, 1, { id: 'once', key })
  await bench.until(() => started === 2, 'both handlers at work')
  return {
    member,
    gates,
    conflicts,
    get ended() {
      return ended
    },
    settledOnce: () => member.loop.stats().handled >= 1 || conflicts.length > 0,
  }
}
