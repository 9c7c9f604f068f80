import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { expectExactlyOnceInOrder } from './expect-history.js'
import { load } from './load.js'
import type { Member } from './member.js'
import type { Suite } from './suite.js'

const KEYS = Array.from({ length: 48 }, (_, index) => `key-${index}`)

/** Item 8: groups each get everything, the members of one share it. */
export function groups(suite: Suite): void {
  suite.describe('groups', () => {
    suite.forCapability('groups', () => independent(suite))
    suite.forCapability('competingMembers', () => sharing(suite))
    if (suite.has('assignments')) assignments(suite)
    else suite.refused('assignments')
  })
}

function independent(suite: Suite): void {
  suite.test('two groups each get every message', { groups: 2, partitions: suite.partitions }, async (bench) => {
    const [one = '', two = ''] = bench.groups
    await Promise.all([bench.member({ group: one }), bench.members(2, { group: two })])
    bench.ledger.series(bench.producer(), KEYS, load(5))
    for (const group of bench.groups) await bench.handledCount(KEYS.length * load(5), group)
    for (const group of bench.groups) await expectExactlyOnceInOrder(bench, { group })
  })

  suite.test('a failure in one group is none of the other', { groups: 2 }, async (bench) => {
    const [failing = '', well = ''] = bench.groups
    await bench.member({
      group: failing,
      handler: (message) => {
        if (message.attempt < 3) throw new Error('this group fails')
      },
    })
    await bench.member({ group: well })
    bench.ledger.series(bench.producer(), ['a', 'b'], 5)
    for (const group of bench.groups) await bench.handledCount(10, group)
    for (const group of bench.groups) await expectExactlyOnceInOrder(bench, { group })
    const attempts = (group: string): number[] => bench.handled(group).map((one) => one.attempt)
    expect(new Set(attempts(failing))).toEqual(new Set([3]))
    expect(new Set(attempts(well)), 'a message succeeds once per group, at its first attempt').toEqual(new Set([1]))
  })
}

function sharing(suite: Suite): void {
  suite.test('three members share the messages; each gets some', { partitions: suite.partitions }, async (bench) => {
    const members = await bench.members(3)
    bench.ledger.series(bench.producer(), [...KEYS, undefined, undefined], load(5))
    await bench.handledCount(50 * load(5))
    await expectExactlyOnceInOrder(bench)
    if (suite.partitions >= 3) expect(members.map((member) => member.handlings.length > 0)).toEqual([true, true, true])
  })

  suite.test(
    'when members leave, the others take over what they had',
    { partitions: suite.partitions },
    async (bench) => {
      const [first, second, third] = await bench.members(3)
      const producer = bench.producer()
      bench.ledger.series(producer, KEYS, 2)
      await bench.handledCount(KEYS.length * 2)
      await Promise.all([first?.leave(), second?.leave()])
      bench.ledger.series(producer, KEYS, 2, 2)
      await bench.handledCount(KEYS.length * 4)
      await expectExactlyOnceInOrder(bench)
      expect(third?.succeeded).toEqual(expect.arrayContaining(bench.ledger.ids().slice(KEYS.length * 2)))
    },
  )

  suite.test(
    'a member that leaves and a new one that joins while messages flow: none lost, order kept',
    { partitions: suite.partitions },
    async (bench) => {
      const [first] = await bench.members(2)
      const producer = bench.producer()
      bench.ledger.series(producer, KEYS, 5)
      await bench.handledCount(KEYS.length)
      const joined = bench.member()
      bench.ledger.series(producer, KEYS, 5, 5)
      await Promise.all([joined, first?.leave()])
      bench.ledger.series(producer, KEYS, 5, 10)
      await bench.handledCount(KEYS.length * 15)
      await bench.ledger.allConfirmed()
      expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [], overlapping: [] })
    },
  )
}

function assignments(suite: Suite): void {
  suite.test(
    'every partition belongs to exactly one member, and events tell of each change',
    { partitions: suite.partitions },
    async (bench) => {
      const events: string[] = []
      const first = await bench.member()
      first.loop.on('revoked', ({ partitions, how }) =>
        events.push(...partitions.map(({ partition }) => `${how} ${partition}`)),
      )
      await bench.until(() => owned([first]).length === suite.partitions, 'all partitions at the only member')
      const second = await bench.member()
      await bench.until(() => spread(bench, [first, second], suite.partitions), 'the partitions at both members')
      expect(
        events.every((event) => event.startsWith('graceful')),
        `handed over, not lost: ${events.join(', ')}`,
      ).toBe(true)
      expect(events.length).toBeGreaterThanOrEqual(second.loop.assignments.length)
      await first.leave()
      await bench.until(() => owned([second]).length === suite.partitions, 'all partitions at the member that stayed')
      expect(first.loop.assignments).toEqual([])
      for (const { topic, epoch } of second.loop.assignments)
        expect({ topic, epoch: Number.isFinite(epoch) }).toEqual({ topic: bench.topic, epoch: true })
    },
  )
}

function owned(members: readonly Member[]): number[] {
  return members
    .flatMap((member) => member.loop.assignments.map(({ partition }) => partition))
    .sort((left, right) => left - right)
}

function spread(bench: Bench, members: readonly Member[], partitions: number): boolean {
  const all = owned(members)
  const each = members.every((member) => member.loop.assignments.length > 0)
  return each && bench.partitions === partitions && all.length === partitions && new Set(all).size === partitions
}
