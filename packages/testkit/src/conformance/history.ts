import { expect } from 'vitest'
import { rejection, thrown } from './expect-error.js'
import type { Suite } from './suite.js'

/** Item 7: what those see who come late. */
export function history(suite: Suite): void {
  suite.describe('history', () => {
    if (suite.has('replay')) {
      lateSubscribers(suite)
      seeking(suite)
    } else refusals(suite)
    withoutGroup(suite)
  })
}

function lateSubscribers(suite: Suite): void {
  suite.test(
    'a group that comes late reads the history from its beginning, in order',
    { groups: 2, partitions: suite.partitions },
    async (bench) => {
      const [early = '', late = ''] = bench.groups
      await bench.member({ group: early })
      bench.ledger.series(bench.producer(), ['a', 'b', 'c', 'd'], 25)
      await bench.handledCount(100, early)
      await bench.member({ group: late })
      await bench.handledCount(100, late)
      await bench.ledger.allConfirmed()
      for (const group of bench.groups)
        expect(bench.verdict(group)).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [] })
    },
  )

  suite.test("from 'latest' begins with what is sent after the group has joined", {}, async (bench) => {
    const producer = bench.producer()
    bench.ledger.series(producer, ['k'], 5)
    await bench.ledger.allConfirmed()
    const member = await bench.member({ settings: { from: 'latest' } })
    void bench.ledger.send(producer, 'new', { key: 'k', id: 'new' })
    await bench.handledAll(['new'])
    expect(member.handlings.map((one) => one.id)).toEqual(['new'])
  })

  suite.test('from an offset begins with that message', { groups: 2 }, async (bench) => {
    const [early = '', late = ''] = bench.groups
    await bench.member({ group: early })
    bench.ledger.series(bench.producer(), ['k'], 10)
    await bench.handledCount(10, early)
    const fifth = bench.handled(early)[4]
    const member = await bench.member({ group: late, settings: { from: { offset: fifth?.offset ?? '' } } })
    await bench.handledAll(bench.ledger.ids().slice(4), late)
    expect(member.handlings.map((one) => one.id)).toEqual(bench.ledger.ids().slice(4))
  })

  suite.test('from a timestamp begins with what was sent at that time or later', {}, async (bench) => {
    const producer = bench.producer()
    bench.ledger.series(producer, ['k'], 5)
    await bench.ledger.allConfirmed()
    const between = Date.now() + 1
    await bench.until(() => Date.now() > between, 'the clock to move on')
    bench.ledger.series(producer, ['k'], 5)
    await bench.ledger.allConfirmed()
    const later = bench.ledger.ids().slice(5)
    const member = await bench.member({ settings: { from: { timestamp: between } } })
    await bench.handledAll(later)
    expect(member.handlings.map((one) => one.id)).toEqual(later)
  })

  suite.test('`from` is for a new group: one that has read goes on where it was', {}, async (bench) => {
    const producer = bench.producer()
    const first = await bench.member()
    bench.ledger.series(producer, ['k'], 5)
    await bench.handledCount(5)
    await first.leave()
    bench.ledger.series(producer, ['k'], 5, 5)
    await bench.ledger.allConfirmed()
    const second = await bench.member({ settings: { from: 'earliest' } })
    await bench.handledCount(10)
    expect(second.handlings.map((one) => one.id)).toEqual(bench.ledger.ids().slice(5))
  })
}

function seeking(suite: Suite): void {
  suite.test("seek('earliest') replays a group's history in order; seek('latest') skips", {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer()
    bench.ledger.series(producer, ['k'], 10)
    await bench.handledCount(10)
    await member.loop.seek('earliest')
    await bench.until(() => member.succeeded.length === 20, 'the replay')
    expect(member.succeeded.slice(10)).toEqual(bench.ledger.ids())
    await member.loop.seek('latest')
    void bench.ledger.send(producer, 'new', { key: 'k', id: 'new' })
    await bench.handledAll(['new'])
    expect(member.succeeded.slice(20)).toEqual(['new'])
  })

  suite.test('seek to the offset of a message begins with it', {}, async (bench) => {
    const member = await bench.member()
    bench.ledger.series(bench.producer(), ['k'], 10)
    await bench.handledCount(10)
    const seventh = bench.handled()[6]
    await member.loop.seek(
      { offset: seventh?.offset ?? '' },
      { topic: bench.topic, partition: seventh?.partition ?? 0 },
    )
    await bench.until(() => member.succeeded.length === 14, 'the replay')
    expect(member.succeeded.slice(10)).toEqual(bench.ledger.ids().slice(6))
  })

  suite.test("seek refuses what is no position, and a partition that isn't this member's", {}, async (bench) => {
    const member = await bench.member()
    await rejection(member.loop.seek('yesterday' as never), 'INVALID_ARGUMENT')
    await rejection(member.loop.seek('earliest', { partition: 999 }), 'NOT_FOUND')
    await rejection(member.loop.seek('earliest', { topic: 'another-topic' }), 'NOT_FOUND')
    void bench.ledger.send(bench.producer(), 1)
    await bench.handledCount(1)
  })
}

function refusals(suite: Suite): void {
  suite.refused('replay')

  suite.test('`from` and `seek` are refused with UNSUPPORTED, naming transports that can', {}, async (bench) => {
    for (const from of ['earliest', 'latest', { offset: '1' }, { timestamp: 1 }] as const) {
      const error = thrown(() => bench.transport().consumer(bench.topic, { group: bench.group, from }), 'UNSUPPORTED')
      expect(error.message).toContain('kafka')
    }
    const loop = bench.transport().consumer(bench.topic, { group: bench.group })
    const error = await rejection(loop.seek('earliest'), 'UNSUPPORTED')
    expect(error.message).toContain('kafka')
    expect(loop.stats().connected, 'refused before any connection').toBe(false)
  })
}

function withoutGroup(suite: Suite): void {
  if (suite.has('retainsWithoutGroup')) {
    suite.test('what is sent while no group exists is kept for the first one', {}, async (bench) => {
      bench.ledger.series(bench.producer(), ['a', 'b'], 20)
      await bench.ledger.allConfirmed()
      await bench.member()
      await bench.handledCount(40)
      expect(bench.verdict()).toMatchObject({ lost: [], phantom: [], duplicated: [], reordered: [] })
    })
    return
  }
  suite.refused('retainsWithoutGroup')
  suite.test('a send that no group would get is rejected, never dropped silently', { groups: 0 }, async (bench) => {
    const error = await rejection(bench.producer().send('into the void', { key: 'k' }), 'NOT_FOUND')
    expect(error.retryable).toBe(false)
    expect(error.message).toContain(bench.topic)
  })
}
