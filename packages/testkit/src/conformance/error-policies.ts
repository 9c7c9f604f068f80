import { type ConsumerSettings, StreamError } from '@streamswitch/core'
import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { within } from './collect.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** What becomes of a loop whose message nothing can help, and which errors are worth another attempt. */
export function errorPolicies(suite: Suite): void {
  suite.describe('error policies', () => {
    stopping(suite)
    skipping(suite)
    if (suite.senderRetries) refusedToSender(suite)
    else retryLists(suite)
  })
}

/** What ends in the error policy: a handler that throws. Where the sender retries, that goes back to it: there, one that ignores its timeout. */
function hopeless(suite: Suite): { readonly settings: Partial<ConsumerSettings>; readonly fail: () => unknown } {
  if (suite.senderRetries) {
    return {
      settings: { handlerTimeoutMs: 100, handlerGraceMs: 0, retry: quickRetry(1) },
      fail: () => new Promise(() => {}),
    }
  }
  return {
    settings: { deadLetter: false, retry: quickRetry(1) },
    fail: () => {
      throw new RangeError('no way')
    },
  }
}

function stopping(suite: Suite): void {
  const { settings, fail } = hopeless(suite)
  const policies = ['stop', 'stop-runner', 'stop-application'] as const
  suite.test(
    'stop, stop-runner, stop-application: run rejects with the error, and init and run from then on; other loops run on',
    { groups: policies.length + 1 },
    async (bench) => {
      const [healthy = '', ...failing] = bench.groups
      bench.ledger.failuresExpected = true
      const transport = bench.transport()
      const members = await Promise.all(
        policies.map((errorPolicy, index) =>
          bench.member({
            group: failing[index] ?? '',
            transport,
            settings: { ...settings, errorPolicy },
            handler: (message) => (message.id === 'poison' ? fail() : undefined),
          }),
        ),
      )
      expect(members.map(({ loop }) => loop.errorPolicy)).toEqual(policies)
      await bench.member({ group: healthy, transport })
      const producer = bench.producer()
      void bench.ledger.send(producer, 1, { id: 'poison', timeoutMs: 2_000 })
      for (const { ended, loop } of members) {
        const error = await within(ended, 'the end of the loop')
        expect(error).toMatchObject({ name: 'StreamError' })
        if (!suite.senderRetries) expect((error as StreamError).cause).toBeInstanceOf(RangeError)
        await expect(loop.init()).rejects.toBe(error)
        await expect(loop.run()).rejects.toBe(error)
      }
      void bench.ledger.send(producer, 2, { id: 'after', timeoutMs: 2_000 })
      await bench.until(
        () => bench.handled(healthy).some((one) => one.id === 'after'),
        'a message at the loop that runs on',
        { toleratesEnd: true },
      )
    },
  )
}

function skipping(suite: Suite): void {
  const { settings, fail } = hopeless(suite)
  const modes = suite.has('manualAck') ? (['auto', 'manual'] as const) : (['auto'] as const)
  for (const ack of modes) {
    suite.test(`restart, ack: '${ack}': skips exactly the failing message, and goes on`, {}, async (bench) => {
      const skipped: string[] = []
      const member = await bench.member({
        settings: { ...settings, ack, errorPolicy: 'restart' },
        handler: (message) => {
          if (message.id === 'poison') return fail()
          return ack === 'manual' ? message.ack() : undefined
        },
      })
      member.loop.on('skipped', ({ id }) => skipped.push(id))
      const producer = bench.producer()
      for (const id of ['first', 'poison', 'next']) void bench.ledger.send(producer, id, { id, key: 'k' })
      void bench.ledger.send(producer, 'other', { id: 'other', key: 'other' })
      await bench.handledAll(['first', 'next', 'other'])
      await bench.ledger.allConfirmed()
      await bench.until(() => member.loop.stats().unsettled === 0, 'everything to be settled')
      expect(skipped).toEqual(['poison'])
      expect(member.loop.stats()).toMatchObject({ skipped: 1, deadLettered: 0 })
      await member.leave()
      expect(await leftFor(bench, ['k', 'other'])).toEqual([])
    })
  }

  suite.test(
    'restart skips after a backoff: until then its key waits, others go on, and nothing is acked',
    {},
    async (bench) => {
      const member = await bench.member({
        settings: {
          ...settings,
          errorPolicy: 'restart',
          retry: quickRetry(1, { minDelayMs: 60_000, maxDelayMs: 60_000 }),
        },
        handler: (message) => (message.id === 'poison' ? fail() : undefined),
      })
      bench.ledger.failuresExpected = true
      const producer = bench.producer()
      void bench.ledger.send(producer, 1, { id: 'poison', key: 'k' })
      await bench.until(
        () => member.handlings.some((one) => one.id === 'poison') && member.loop.stats().running === 0,
        'the failure',
      )
      if (!suite.senderRetries) void bench.ledger.send(producer, 2, { id: 'next', key: 'k' })
      void bench.ledger.send(producer, 3, { id: 'other', key: 'other' })
      await bench.handledAll(['other'])
      expect(member.succeeded).toEqual(['other'])
      expect(member.loop.stats()).toMatchObject({ skipped: 0 })
      await within(member.leave(1_000), 'the end of close')
      if (!suite.senderRetries) expect(await leftFor(bench, ['k'])).toEqual(expect.arrayContaining(['poison', 'next']))
    },
  )
}

function retryLists(suite: Suite): void {
  suite.test('retry.when as a list: codes and classes in it are tried again, nothing else is', {}, async (bench) => {
    const errors: Record<string, () => Error> = {
      code: () => new StreamError('busy', { code: 'CONFLICT' }),
      native: () => Object.assign(new Error('reset'), { code: 'ECONNRESET' }),
      class: () => new RangeError('out of range'),
      unlisted: () => new TypeError('a defect'),
    }
    const member = await bench.member({
      settings: { retry: quickRetry(3, { when: ['CONFLICT', 'ECONNRESET', RangeError] }), deadLetter: true },
      handler: (message) => {
        throw errors[message.id]?.() ?? new Error('unknown')
      },
    })
    const producer = bench.producer()
    for (const id of Object.keys(errors)) void bench.ledger.send(producer, id, { id })
    await bench.until(() => member.loop.stats().deadLettered === 4, 'all of them to be given up')
    const starts = (id: string): number => member.handlings.filter((one) => one.id === id).length
    expect(Object.keys(errors).map(starts)).toEqual([3, 3, 3, 1])
  })
}

function refusedToSender(suite: Suite): void {
  suite.test('retry.when as a list: the sender is told to try nothing else again', {}, async (bench) => {
    const member = await bench.member({
      settings: { retry: quickRetry(3, { when: [RangeError] }) },
      handler: () => {
        throw new TypeError('a defect')
      },
    })
    bench.ledger.failuresExpected = true
    const outcome = bench.ledger.send(bench.producer(), 1, { id: 'unlisted' }).then(
      () => 'accepted',
      () => 'refused',
    )
    expect(await within(outcome, 'the outcome of the send')).toBe('refused')
    expect(member.handlings).toHaveLength(1)
  })
}
