import type { Message } from '@streamswitch/core'
import { expect } from 'vitest'
import { Gate, within } from './collect.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** Hooks around the time that partitions spend with a member, and what is settled at its end. */
export function rebalanceHooks(suite: Suite): void {
  suite.describe('rebalance hooks', () => {
    if (suite.has('assignments')) {
      assigned(suite)
      if (suite.has('manualAck') && suite.has('competingMembers')) revoked(suite)
    }
    settledPrefix(suite)
  })
}

function assigned(suite: Suite): void {
  suite.test('onAssigned is awaited before the first message of its partitions is handled', {}, async (bench) => {
    const gate = new Gate()
    const steps: string[] = []
    const member = await bench.member({
      settings: {
        onAssigned: async (partitions) => {
          steps.push(`assigned ${partitions.map(({ partition }) => partition).join()}`)
          await gate.opened
          steps.push('prepared')
        },
        onRevoked: (_partitions, how) => void steps.push(`revoked ${how}`),
      },
      handler: (message) => void steps.push(message.id),
    })
    void bench.ledger.send(bench.producer(), 1, { key: 'k', id: 'm' })
    await bench.until(() => member.loop.stats().waiting === 1, 'the message to wait')
    expect(steps).toEqual(['assigned 0'])
    gate.open()
    await bench.handledAll(['m'])
    await member.leave()
    expect(steps).toEqual(['assigned 0', 'prepared', 'm', 'revoked graceful'])
  })

  suite.test('an error of onAssigned ends the loop, and no message is handled', {}, async (bench) => {
    const member = bench.start({
      settings: {
        onAssigned: () => {
          throw new RangeError('no state')
        },
      },
    })
    const error = await within(member.ended, 'the end of the loop')
    expect(error).toMatchObject({ name: 'StreamError', cause: expect.any(RangeError) })
    expect(member.handlings).toEqual([])
  })
}

function revoked(suite: Suite): void {
  suite.test(
    'onRevoked is awaited before partitions are let go: what it acks counts, and comes to nobody else',
    { partitions: suite.partitions },
    async (bench) => {
      const keys = Array.from({ length: 4 * suite.partitions }, (_, index) => `key-${index}`)
      const held = new Set<Message>()
      const failed: unknown[] = []
      const settle = async (partitions: readonly { readonly partition: number }[]): Promise<void> => {
        const gone = new Set(partitions.map(({ partition }) => partition))
        const leaving = [...held].filter((message) => gone.has(message.partition))
        for (const message of leaving) held.delete(message)
        await Promise.all(leaving.map((message) => message.ack().catch((error: unknown) => void failed.push(error))))
      }
      const first = await bench.member({
        settings: { ack: 'manual', concurrency: keys.length, onRevoked: settle },
        handler: (message) => void held.add(message),
      })
      bench.ledger.series(bench.producer(), keys, 1)
      await bench.until(() => first.succeeded.length === keys.length, 'all messages at the first member')
      const second = await bench.member()
      await bench.until(() => second.loop.assignments.length > 0, 'partitions at the second member')
      await first.leave()
      expect(failed).toEqual([])
      expect(await leftFor(bench, keys)).toEqual([])
      expect(second.succeeded.filter((id) => bench.ledger.ids().slice(0, keys.length).includes(id))).toEqual([])
    },
  )
}

function settledPrefix(suite: Suite): void {
  suite.test(
    'what is settled never covers a running message: it comes again, whatever was done behind it',
    {},
    async (bench) => {
      const member = await bench.member({
        handler: (message) => (message.id === 'running' ? new Promise(() => {}) : undefined),
      })
      const producer = bench.producer()
      bench.ledger.failuresExpected = suite.senderRetries
      void bench.ledger.send(producer, 0, { id: 'before', key: 'before' })
      await bench.handledAll(['before'])
      void bench.ledger.send(producer, 1, { id: 'running', key: 'running' })
      await bench.until(() => member.loop.stats().running === 1, 'the message to run')
      const behind = Array.from({ length: 20 }, (_, index) => `behind-${index}`)
      for (const id of behind) void bench.ledger.send(producer, id, { id, key: id })
      await bench.handledAll(behind)
      await within(member.leave(100), 'the end of close')
      const next = await bench.member()
      await bench.handledAll(['running'])
      expect(next.succeeded).toContain('running')
      expect(next.succeeded, 'what was settled before it').not.toContain('before')
    },
  )
}
