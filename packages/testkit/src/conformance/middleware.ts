import type { HandlerMiddleware, SendMiddleware } from '@streamswitch/core'
import { batchEntry, isBatchError } from '@streamswitch/core'
import { expect } from 'vitest'
import { Gate, within } from './collect.js'
import { rejection } from './expect-error.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** What stands around handlers and sends. */
export function middleware(suite: Suite): void {
  suite.describe('middleware', () => {
    aroundHandlers(suite)
    failuresAroundHandlers(suite)
    aroundSends(suite)
    orderOfSends(suite)
    if (suite.has('requestReply')) aroundRequests(suite)
  })
}

function aroundHandlers(suite: Suite): void {
  suite.test(
    "the transport's stands around the loop's, in the given order; it sees the result and may send",
    { topics: 2 },
    async (bench) => {
      const [topic = '', audit = ''] = bench.topics
      const steps: string[] = []
      const note =
        (name: string): HandlerMiddleware =>
        async (message, next) => {
          steps.push(`${name} in ${message.id}`)
          const result = await next()
          steps.push(`${name} out ${String(result)}`)
          return `${name}(${String(result)})`
        }
      const auditor = await bench.member({ topic: audit })
      const auditing = bench.producer({ topic: audit })
      const report: HandlerMiddleware = async (message, next) => {
        await auditing.send(message.id, { id: `audit of ${message.id}` })
        return next()
      }
      await bench.member({
        topic,
        transport: bench.transport({ middleware: { handle: [note('transport')] } }),
        settings: { middleware: [note('first'), note('second'), report] },
        handler: (message) => {
          steps.push(`handler ${message.id}`)
          return 'done'
        },
      })
      await bench.ledger.send(bench.producer({ topic }), 1, { id: 'm' })
      await bench.until(() => steps.length === 7 && auditor.succeeded.length === 1, 'the message and its audit')
      expect(steps).toEqual([
        'transport in m',
        'first in m',
        'second in m',
        'handler m',
        'second out done',
        'first out second(done)',
        'transport out first(second(done))',
      ])
      expect(auditor.succeeded).toEqual(['audit of m'])
    },
  )
}

function failuresAroundHandlers(suite: Suite): void {
  suite.test(
    "an error counts as the handler's; without next() the message is done; next() again is CONFLICT",
    {},
    async (bench) => {
      let failed = 0
      const refused: unknown[] = []
      const member = await bench.member({
        settings: {
          middleware: [
            async (message, next) => {
              if (message.id === 'unwanted') return
              if (message.id === 'failing' && failed === 0) {
                failed += 1
                throw new Error('not yet')
              }
              await next()
              if (message.id === 'twice') refused.push(await rejection(next(), 'CONFLICT'))
            },
          ],
        },
      })
      const producer = bench.producer()
      for (const id of ['unwanted', 'failing', 'twice']) void bench.ledger.send(producer, id, { id, key: 'k' })
      await bench.until(() => refused.length === 1, 'the last message')
      await bench.ledger.allConfirmed()
      expect(failed).toBe(1)
      await member.leave()
      expect(member.handlings.map((one) => one.id)).toEqual(['failing', 'twice'])
      expect(await leftFor(bench, ['k'])).toEqual([])
    },
  )
}

function aroundSends(suite: Suite): void {
  suite.test(
    'around sends: changes what is sent, sees the receipt, and its error is that of the send',
    {},
    async (bench) => {
      const receipts: string[] = []
      const stamp: SendMiddleware = async (outgoing, next) => {
        const headers = { ...outgoing.options.headers, stamp: outgoing.topic }
        const receipt = await next({ value: outgoing.value, options: { ...outgoing.options, headers } })
        receipts.push(receipt.id)
        return receipt
      }
      const double: SendMiddleware = ({ value, options }, next) => {
        if (value === 'bad') throw new RangeError('bad value')
        return next({
          value: `${String(value)} ${options.headers?.stamp === undefined ? 'unstamped' : 'stamped'}`,
          options,
        })
      }
      const member = await bench.member()
      const producer = bench.producer({
        transport: bench.transport({ middleware: { send: [stamp] } }),
        middleware: [double],
      })
      expect((await producer.send('one', { id: 'one' })).id).toBe('one')
      const refused = await rejection(producer.send('bad', { id: 'refused' }), 'UNKNOWN')
      expect(refused.cause).toBeInstanceOf(RangeError)
      const values = ['two', 'bad', 'three'].map((value, index) => batchEntry(value, { id: `batch ${index}` }))
      const error: unknown = await producer.sendBatch(values).catch((failure: unknown) => failure)
      expect(isBatchError(error) && error.failures.map(({ index }) => index)).toEqual([1])
      await bench.until(() => member.succeeded.length === 3, 'what was sent')
      expect(member.handlings.map(({ value }) => value).sort()).toEqual(['one stamped', 'three stamped', 'two stamped'])
      expect(new Set(member.handlings.map(({ headers }) => headers.stamp))).toEqual(new Set([bench.topic]))
      expect([...receipts].sort()).toEqual(['batch 0', 'batch 2', 'one'])
    },
  )
}

function orderOfSends(suite: Suite): void {
  suite.test(
    'what a slow middleware holds up goes out in the order of the sends, and close waits for it',
    {},
    async (bench) => {
      const gate = new Gate()
      const started: unknown[] = []
      const member = await bench.member()
      const producer = bench.producer({
        middleware: [
          async (outgoing, next) => {
            started.push(outgoing.value)
            if (outgoing.value === 1) await gate.opened
            return next()
          },
        ],
      })
      const ids = ['one', 'two', 'three']
      for (const [index, id] of ids.entries()) void bench.ledger.send(producer, index + 1, { id, key: 'k' })
      await bench.until(() => started.length === 3, 'all in the middleware')
      const closed = producer.close()
      await rejection(producer.send('late'), 'CLOSED')
      gate.open()
      await within(closed, 'the end of close')
      await bench.ledger.allConfirmed()
      await bench.handledAll(ids)
      expect(member.handlings.map((one) => one.id)).toEqual(ids)
    },
  )

  suite.test('a middleware may send through its own producer: that goes out first', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer({
      middleware: [
        async (outgoing, next) => {
          if (outgoing.value === 'main') await producer.send('before', { key: 'k', id: 'before' })
          return next()
        },
      ],
    })
    await within(producer.send('main', { key: 'k', id: 'main' }), 'the send')
    await bench.handledAll(['before', 'main'])
    expect(member.handlings.map((one) => one.id)).toEqual(['before', 'main'])
  })

  suite.test('a middleware that never ends: the send rejects with TIMEOUT, later ones go on', {}, async (bench) => {
    const member = await bench.member()
    const producer = bench.producer({
      middleware: [(outgoing, next) => (outgoing.value === 'stuck' ? new Promise(() => {}) : next())],
    })
    const stuck = rejection(producer.send('stuck', { timeoutMs: 200 }), 'TIMEOUT')
    await within(producer.send('free', { id: 'free' }), 'the send behind it')
    await stuck
    await bench.handledAll(['free'])
    expect(member.succeeded).toEqual(['free'])
  })
}

function aroundRequests(suite: Suite): void {
  suite.test(
    'around requests as around sends: changes them, ends them, and keeps them behind earlier sends of their key',
    {},
    async (bench) => {
      const gate = new Gate()
      const member = await bench.member({ handler: async ({ value, headers }) => `${String(value)} ${headers.by}` })
      const producer = bench.producer({
        middleware: [
          async ({ value, options }, next) => {
            if (value === 'slow') await gate.opened
            if (value === 'bad') throw new RangeError('bad value')
            if (value === 'unsent') return { id: '', topic: '', partition: undefined, offset: undefined }
            // Not what it came with: the address of the reply isn't among the options.
            return next({
              value: `${String(value)}!`,
              options: { ...(options.key && { key: options.key }), headers: { by: 'm' } },
            })
          },
        ],
      })
      expect(await within(producer.request('first').read(), 'the first reply', 25_000)).toBe('first! m')
      const slow = producer.send('slow', { key: 'k' })
      const reply = producer.request('quick', { key: 'k' })
      await rejection(producer.request('bad').read(), 'UNKNOWN')
      await rejection(producer.request('unsent').read(), 'ABORTED')
      gate.open()
      await within(slow, 'the send')
      expect(await within(reply.read(), 'the reply', 25_000)).toBe('quick! m')
      expect(member.handlings.map(({ value }) => value)).toEqual(['first!', 'slow!', 'quick!'])
    },
  )
}
