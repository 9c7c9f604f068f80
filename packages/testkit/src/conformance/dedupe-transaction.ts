import { type ConsumerStats, DedupeTransaction, StreamError } from '@streamswitch/core'
import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { rejection } from './expect-error.js'
import type { Suite } from './suite.js'

/** What a transaction writes; it becomes visible when the transaction commits. */
interface Rows {
  readonly written: string[]
}

/** Rows of committed transactions, with the marks in a unique index, as a database would have them. */
class Table {
  readonly rows: string[] = []
  readonly marks = new Set<string>()
  readonly once = new DedupeTransaction<Rows>(async ({ topic, group, id }, work) => {
    const mark = `${topic} ${group} ${id}`
    if (this.marks.has(mark)) return
    const transaction: Rows = { written: [] }
    await work(transaction)
    if (this.marks.has(mark)) throw new StreamError(`duplicate key ${mark}`, { code: 'CONFLICT' })
    this.marks.add(mark)
    this.rows.push(...transaction.written)
  })
}

/** The mark is committed together with what the handler writes. */
export function dedupeInTransaction(suite: Suite): void {
  suite.test(
    'a transaction commits the writes of a handler and its mark together, or neither',
    { groups: 2 },
    async (bench) => {
      const table = new Table()
      const members = await Promise.all(
        bench.groups.map((group) =>
          bench.member({
            group,
            settings: { dedupe: { transaction: table.once }, retry: quickRetry(3) },
            handler: async (message) => {
              table.once.of(message).written.push(`${group} ${message.id}`)
              await Promise.resolve()
              if (message.attempt < 2) throw new Error('rolled back')
            },
          }),
        ),
      )
      const producer = bench.producer()
      for (let round = 0; round < 3; round += 1)
        for (const id of ['a', 'b', 'c']) void bench.ledger.send(producer, id, { id, key: id })
      for (const group of bench.groups) await bench.handledAll(['a', 'b', 'c'], group)
      await bench.ledger.allConfirmed()
      // What is confirmed may still be on its way; how often a sender that retries comes again isn't known.
      const came = ({ handled, deduplicated }: ConsumerStats): boolean =>
        suite.senderRetries || handled + deduplicated === 9
      await bench.until(
        () => members.map(({ loop }) => loop.stats()).every((stats) => stats.unsettled === 0 && came(stats)),
        'everything settled',
      )
      const expected = bench.groups.flatMap((group) => ['a', 'b', 'c'].map((id) => `${group} ${id}`))
      expect([...table.rows].sort()).toEqual(expected.sort())
      if (suite.senderRetries) return
      for (const { loop } of members) expect(loop.stats()).toMatchObject({ handled: 3, deduplicated: 6, conflicts: 0 })
    },
  )

  suite.test(
    'of two transactions at once one is rolled back and told; a handling without an open one is refused',
    {},
    async (bench) => {
      const table = new Table()
      const codes: string[] = []
      let arrived = 0
      const member = await bench.member({
        settings: { dedupe: { transaction: table.once } },
        handler: async (message) => {
          arrived += 1
          table.once.of(message).written.push(message.id)
          await bench.until(() => arrived >= 2, 'the other one')
        },
      })
      member.loop.on('conflict', ({ error }) => codes.push(error.code))
      const producer = bench.producer()
      for (const key of ['one', 'two']) void bench.ledger.send(producer, 1, { id: 'once', key })
      await bench.until(() => codes.length > 0 && member.loop.stats().unsettled === 0, 'both settled')
      expect(codes).toEqual(['CONFLICT'])
      expect(table.rows).toEqual(['once'])
      if (!suite.senderRetries) expect(member.loop.stats()).toMatchObject({ handled: 1, deduplicated: 1, conflicts: 1 })
      const message = bench.handled()[0]?.message
      await rejection(
        Promise.resolve().then(() => message && table.once.of(message)),
        'INVALID_ARGUMENT',
      )
    },
  )
}
