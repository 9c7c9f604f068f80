import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { within } from './collect.js'
import { thrown } from './expect-error.js'
import type { Member } from './member.js'
import type { Suite } from './suite.js'

/** Where a new group begins, and what is said where it doesn't. */
export function startPositions(suite: Suite): void {
  if (!suite.has('replay')) return
  suite.describe('start positions', () => {
    perPartition(suite)
    once(suite)
    outOfRange(suite)
  })
}

function perPartition(suite: Suite): void {
  suite.test(
    'one position per partition: each begins where it is told, those left out at the earliest',
    { partitions: 3, groups: 2 },
    async (bench) => {
      const [early = '', late = ''] = bench.groups
      const producer = bench.producer()
      for (const partition of [0, 1, 2])
        for (const index of [0, 1, 2, 3])
          void bench.ledger.send(producer, index, { partition, id: `${partition}-${index}` })
      await bench.member({ group: early })
      await bench.handledCount(12, early)
      const third = bench.handled(early).find((one) => one.id === '0-2')
      const member = await bench.member({
        group: late,
        settings: { from: { partitions: { 0: { offset: third?.offset ?? '' }, 1: 'latest' } } },
      })
      void bench.ledger.send(producer, 'new', { partition: 1, id: '1-new' })
      await bench.handledAll(['0-2', '0-3', '1-new', '2-0', '2-1', '2-2', '2-3'], late)
      expect(member.handlings.map((one) => one.id).sort()).toEqual(['0-2', '0-3', '1-new', '2-0', '2-1', '2-2', '2-3'])
    },
  )

  suite.test(
    'a list does the same; a partition that is not there is warned about',
    { partitions: 2 },
    async (bench) => {
      const producer = bench.producer()
      for (const partition of [0, 1]) void bench.ledger.send(producer, 'old', { partition, id: `old ${partition}` })
      await bench.ledger.allConfirmed()
      const ignored: string[] = []
      const member = await bench.member({
        settings: { from: ['earliest', 'latest', undefined, 'latest'] },
        listen: (loop) => void loop.on('startIgnored', ({ topic, reason }) => ignored.push(`${topic} ${reason}`)),
      })
      void bench.ledger.send(producer, 'new', { partition: 1, id: 'new 1' })
      await bench.handledAll(['old 0', 'new 1'])
      expect(member.handlings.map((one) => one.id).sort()).toEqual(['new 1', 'old 0'])
      expect(ignored).toEqual([`${bench.topic} unassigned`])
      expect(bench.log.filter((line) => line.startsWith('warn') && line.includes("'from' names"))).toHaveLength(1)
    },
  )

  suite.test('what is no position, or no partition, is refused at once', {}, async (bench) => {
    const bad = [
      { partitions: { 0: 'yesterday' } },
      { partitions: { one: 'latest' } },
      { partitions: {} },
      [],
      ['soon'],
    ]
    for (const from of bad)
      thrown(
        () => bench.transport().consumer(bench.topic, { group: bench.group, from: from as never }),
        'INVALID_ARGUMENT',
      )
  })
}

function once(suite: Suite): void {
  suite.test(
    '`from` is applied once: a group that began and handled nothing goes on there, and says that it is ignored',
    {},
    async (bench) => {
      const producer = bench.producer()
      bench.ledger.series(producer, ['k'], 3)
      await bench.ledger.allConfirmed()
      const first = await bench.member({ settings: { from: 'latest' } })
      await first.leave()
      bench.ledger.series(producer, ['k'], 2, 3)
      await bench.ledger.allConfirmed()
      const ignored: string[] = []
      const second = await bench.member({
        settings: { from: 'latest' },
        listen: (loop) => void loop.on('startIgnored', ({ reason }) => ignored.push(reason)),
      })
      await bench.handledAll(bench.ledger.ids().slice(3))
      expect(second.handlings.map((one) => one.id)).toEqual(bench.ledger.ids().slice(3))
      expect(ignored).toEqual(['position'])
      expect(bench.log.filter((line) => line.startsWith('warn') && line.includes("'from' is ignored"))).toHaveLength(1)
    },
  )
}

/** An offset far behind the newest message, in the transport's own way of writing. */
async function farOffset(bench: Bench, group: string): Promise<string> {
  await bench.member({ group })
  await bench.handledCount(3, group)
  const { offset = '' } = bench.handled(group).at(-1) ?? {}
  return offset.replace(/^\d+/, (digits) => String(BigInt(digits) + 1_000_000_000n))
}

function outOfRange(suite: Suite): void {
  suite.test(
    "an offset that is not there is reported, and follows outOfRange; 'stop' ends the loop and fixes nothing",
    { groups: 4 },
    async (bench) => {
      const [early = '', earliest = '', latest = '', stopped = ''] = bench.groups
      const producer = bench.producer()
      bench.ledger.series(producer, ['k'], 3)
      const offset = await farOffset(bench, early)
      const errors: string[] = []
      const join = (group: string, policy: 'earliest' | 'latest' | 'stop'): Member =>
        bench.start({
          group,
          settings: { from: { offset }, outOfRange: policy },
          listen: (loop) =>
            void loop.on('error', ({ code, message }) => errors.push(`${policy} ${code} ${message.includes(offset)}`)),
        })
      const members = [join(earliest, 'earliest'), join(latest, 'latest')]
      await Promise.all(members.map(({ loop }) => loop.init()))
      void bench.ledger.send(producer, 'new', { key: 'k', id: 'new' })
      for (const group of [earliest, latest]) await bench.handledAll(['new'], group)
      expect(members.map(({ handlings }) => handlings.map(({ id }) => id))).toEqual([bench.ledger.ids(), ['new']])
      const ending = join(stopped, 'stop')
      expect(await within(ending.ended, 'the end of the loop')).toMatchObject({ code: 'NOT_FOUND' })
      expect(errors).toEqual(expect.arrayContaining(['earliest NOT_FOUND true', 'latest NOT_FOUND true']))
      await within(ending.leave(), 'the end of close')
      const next = await bench.member({ group: stopped })
      await bench.until(() => next.succeeded.length === 4, 'the whole history', { toleratesEnd: true })
      expect(next.handlings.map(({ id }) => id)).toEqual(bench.ledger.ids())
    },
  )

  suite.test('seek to an offset that is not there is reported, and follows the policy', {}, async (bench) => {
    const producer = bench.producer()
    bench.ledger.series(producer, ['k'], 3)
    const offset = await farOffset(bench, bench.group)
    const errors: string[] = []
    const [member] = bench.running
    member?.loop.on('error', (error) => errors.push(error.code))
    await member?.loop.seek({ offset })
    await bench.until(() => member?.succeeded.length === 6, 'the replay from the earliest message')
    expect(errors).toEqual(['NOT_FOUND'])
  })
}
