import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { Gate, within } from './collect.js'
import { rejection, thrown } from './expect-error.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** Item 12: acks by hand: once, twice, against each other, late. */
export function acknowledge(suite: Suite): void {
  suite.describe('acknowledgement', () => {
    if (suite.has('manualAck')) {
      manual(suite)
      contradictions(suite)
      late(suite)
      if (suite.has('assignments') && suite.has('competingMembers')) revoked(suite)
    } else {
      suite.refused('manualAck')
      suite.test("ack: 'manual' is refused with UNSUPPORTED", {}, async (bench) => {
        thrown(() => bench.transport().consumer(bench.topic, { group: bench.group, ack: 'manual' }), 'UNSUPPORTED')
      })
    }
    automatic(suite)
  })
}

function manual(suite: Suite): void {
  suite.test(
    'manual: a handler that returns does not ack; the key waits for ack(), and what has none comes again',
    {},
    async (bench) => {
      const member = await bench.member({ settings: { ack: 'manual' } })
      const producer = bench.producer()
      for (const id of ['one', 'two', 'three']) void bench.ledger.send(producer, id, { id, key: 'k' })
      void bench.ledger.send(producer, 'other', { id: 'other', key: 'other' })
      await bench.until(
        () => member.succeeded.includes('one') && member.succeeded.includes('other'),
        'the first message of each key',
      )
      expect(member.succeeded).not.toContain('two')
      await within(
        bench
          .handled()
          .find((one) => one.id === 'one')
          ?.message.ack() ?? Promise.reject(new Error('no message')),
        'the ack',
      )
      await bench.until(() => member.succeeded.includes('two'), 'the second message')
      expect(member.succeeded).not.toContain('three')
      await member.leave()
      expect((await leftFor(bench, ['k', 'other'])).sort()).toEqual(['other', 'three', 'two'])
      await bench.ledger.allConfirmed()
    },
  )

  suite.test('manual: ack() resolves once the transport has taken it, and the message is gone', {}, async (bench) => {
    const member = await bench.member({ settings: { ack: 'manual' }, handler: (message) => message.ack() })
    bench.ledger.series(bench.producer(), ['a', 'b'], 20)
    await bench.handledCount(40)
    await bench.ledger.allConfirmed()
    expect(member.loop.stats()).toMatchObject({ handled: 40, acked: 40, unsettled: 0 })
    await member.leave()
    expect(await leftFor(bench, ['a', 'b'])).toEqual([])
  })

  suite.test('manual: nack() means another attempt, with its reason', {}, async (bench) => {
    const member = await bench.member({
      settings: { ack: 'manual', retry: quickRetry(5) },
      handler: (message) => (message.attempt < 3 ? message.nack(new Error('try again')) : message.ack()),
    })
    void bench.ledger.send(bench.producer(), 1, { id: 'nacked', key: 'k' })
    await bench.until(
      () => member.handlings.some((one) => one.attempt === 3 && one.outcome === 'succeeded'),
      'the third attempt',
    )
    await bench.ledger.allConfirmed()
    expect(member.handlings.map((one) => one.attempt)).toEqual([1, 2, 3])
    await member.leave()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })
}

function contradictions(suite: Suite): void {
  suite.test('ack() again resolves; nack() after it rejects with CONFLICT', {}, async (bench) => {
    const member = await bench.member({ settings: { ack: 'manual' } })
    void bench.ledger.send(bench.producer(), 1, { key: 'k' })
    await bench.handledCount(1)
    const message = member.handlings[0]?.message
    const first = message?.ack()
    const second = message?.ack()
    await within(Promise.all([first, second, message?.ack()]), 'three acks')
    await within(Promise.resolve(message?.ack()), 'a fourth')
    await rejection(message?.nack() ?? Promise.resolve(), 'CONFLICT')
    expect(member.loop.stats()).toMatchObject({ handled: 1, acked: 1 })
    await member.leave()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })

  suite.test('ack() after nack() rejects with CONFLICT, and the message is tried again', {}, async (bench) => {
    const refused: unknown[] = []
    const member = await bench.member({
      settings: { ack: 'manual', retry: quickRetry(5) },
      handler: async (message) => {
        if (message.attempt > 1) return message.ack()
        await message.nack('first')
        await message.nack('again: nothing more happens')
        refused.push(await rejection(message.ack(), 'CONFLICT'))
      },
    })
    void bench.ledger.send(bench.producer(), 1, { key: 'k' })
    await bench.until(
      () => member.handlings.some((one) => one.attempt === 2 && one.outcome === 'succeeded'),
      'the second attempt',
    )
    expect(refused).toHaveLength(1)
    expect(member.handlings.map((one) => one.attempt)).toEqual([1, 2])
    await bench.ledger.allConfirmed()
  })
}

function late(suite: Suite): void {
  suite.test('an ack after the loop has closed rejects with ABORTED: the message comes again', {}, async (bench) => {
    const member = await bench.member({ settings: { ack: 'manual' } })
    const reported: unknown[] = []
    member.loop.on('error', (error) => reported.push(error.code))
    void bench.ledger.send(bench.producer(), 1, { id: 'late', key: 'k' })
    await bench.handledCount(1)
    await member.leave()
    const message = member.handlings[0]?.message
    // Nobody awaits these: an unhandled rejection would fail the run.
    void message?.ack()
    void message?.nack()
    await bench.until(() => reported.length > 0, 'the error event')
    expect(reported, 'one event per partition').toEqual(['ABORTED'])
    await rejection(message?.ack() ?? Promise.resolve(), 'ABORTED')
    await rejection(message?.nack() ?? Promise.resolve(), 'ABORTED')
    expect(await leftFor(bench, ['k'])).toEqual(['late'])
    await bench.ledger.allConfirmed()
  })

  suite.test('a handler that outlives its loop can not ack any more', {}, async (bench) => {
    const gate = new Gate()
    const outcomes: unknown[] = []
    const member = await bench.member({
      settings: { ack: 'manual' },
      handler: async (message) => {
        await gate.opened
        outcomes.push(await rejection(message.ack(), 'ABORTED'))
      },
    })
    void bench.ledger.send(bench.producer(), 1, { id: 'outlived', key: 'k' })
    await bench.until(() => member.handlings.length === 1, 'the handler to start')
    await within(member.leave(100), 'the end of close')
    gate.open()
    await bench.until(() => outcomes.length === 1, 'the rejected ack')
    const next = await bench.member()
    await bench.until(() => next.succeeded.includes('outlived'), 'the message at the next member')
  })
}

function revoked(suite: Suite): void {
  suite.test(
    'an ack after the partition went to another member rejects with ABORTED: that member handles the message',
    { partitions: suite.partitions },
    async (bench) => {
      const keys = Array.from({ length: 4 * suite.partitions }, (_, index) => `key-${index}`)
      const first = await bench.member({ settings: { ack: 'manual', concurrency: keys.length } })
      bench.ledger.series(bench.producer(), keys, 1)
      await bench.until(() => first.succeeded.length === keys.length, 'all messages at the first member')
      const lost = new Set<number>()
      first.loop.on('revoked', ({ partitions }) => {
        for (const { partition } of partitions) lost.add(partition)
      })
      const second = await bench.member()
      await bench.until(
        () =>
          second.loop.assignments.length > 0 && second.loop.assignments.every(({ partition }) => lost.has(partition)),
        'partitions to change hands',
      )
      const moved = first.handlings.filter((one) => lost.has(one.partition))
      const stayed = first.handlings.filter(
        (one) =>
          !lost.has(one.partition) && first.loop.assignments.some(({ partition }) => partition === one.partition),
      )
      expect(moved.length, 'messages that changed hands').toBeGreaterThan(0)
      // Nobody awaits these: an unhandled rejection would fail the run.
      for (const one of moved) void one.message.ack()
      for (const one of moved) await rejection(one.message.ack(), 'ABORTED')
      for (const one of stayed) await within(one.message.ack(), 'the ack of a message whose partition stayed')
      // Where every rebalance takes all partitions away at first, the first member gets some of them back, as new assignments.
      const returned = (partition: number): boolean =>
        first.loop.assignments.some((assignment) => assignment.partition === partition)
      await bench.until(
        () => moved.every((one) => returned(one.partition) || second.succeeded.includes(one.id)),
        'the messages at the second member',
      )
      expect(
        second.succeeded.filter((id) => moved.some((one) => one.id === id)).length,
        'messages that the second member handles',
      ).toBeGreaterThan(0)
      expect(
        second.succeeded.filter((id) => stayed.some((one) => one.id === id)),
        'what stayed was acked by the first member',
      ).toEqual([])
    },
  )
}

function automatic(suite: Suite): void {
  suite.test(
    'auto: ack() within the handler settles early; a failure after it does not bring the message back',
    {},
    async (bench) => {
      const member = await bench.member({
        handler: async (message) => {
          await message.ack()
          throw new Error('too late to matter')
        },
      })
      void bench.ledger.send(bench.producer(), 1, { id: 'early', key: 'k' })
      await bench.until(() => member.handlings.some((one) => one.outcome === 'failed'), 'the end of the handler')
      await bench.ledger.allConfirmed()
      await member.leave()
      expect(await leftFor(bench, ['k'])).toEqual([])
      expect(member.handlings).toHaveLength(1)
    },
  )
}
