import { batchEntry, type OutputTarget } from '@streamswitch/core'
import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { Gate } from './collect.js'
import { leftFor } from './expect-history.js'
import type { Member } from './member.js'
import type { Suite } from './suite.js'

/** Handlers that yield values onwards. */
export function generatorHandlers(suite: Suite): void {
  suite.describe('generator handlers', () => {
    onwards(suite)
    failing(suite)
    confirmations(suite)
  })
}

/** A member for each end: what the first topic's handler yields, the second topic's member receives. */
async function receiver(bench: Bench): Promise<Member> {
  return bench.member({ topic: bench.topics[1] ?? '' })
}

function onwards(suite: Suite): void {
  suite.test(
    "yielded values go on in order, with the message's key unless they say otherwise, and the message is acked",
    { topics: 2 },
    async (bench) => {
      const [topic = '', target = ''] = bench.topics
      const received = await receiver(bench)
      const to = bench.producer({ topic: target })
      const member = await bench.member({
        topic,
        attach: (loop) =>
          void loop.handle(
            async function* (message) {
              yield `${message.id} 1`
              yield batchEntry(`${message.id} 2`, { headers: { part: 'two' } })
              yield batchEntry(`${message.id} 3`, { key: 'elsewhere', id: `named ${message.id}` })
            },
            { to },
          ),
      })
      const producer = bench.producer({ topic })
      for (const id of ['a', 'b', 'c']) void bench.ledger.send(producer, id, { id, key: 'k' })
      await bench.until(
        () => received.succeeded.length === 9 && member.loop.stats().acked === 3,
        'all that was yielded, and the acks',
      )
      const of = (key: string) => received.handlings.filter((one) => one.key === key)
      expect(of('k').map(({ value }) => value)).toEqual(['a 1', 'a 2', 'b 1', 'b 2', 'c 1', 'c 2'])
      expect(of('k').map(({ headers }) => headers.part)).toEqual([undefined, 'two', undefined, 'two', undefined, 'two'])
      expect(of('elsewhere').map(({ id }) => id)).toEqual(['named a', 'named b', 'named c'])
    },
  )

  suite.test(
    'a function that returns a generator, or a value, does the same; returning nothing sends nothing',
    { topics: 2 },
    async (bench) => {
      const [topic = '', target = ''] = bench.topics
      const received = await receiver(bench)
      const to = bench.producer({ topic: target })
      function* twice(value: unknown): Generator<string> {
        yield `${String(value)} once`
        yield `${String(value)} twice`
      }
      const member = await bench.member({
        topic,
        attach: (loop) =>
          void loop.handle(
            (message) => {
              if (message.id === 'generator') return twice(message.value)
              return message.id === 'value' ? Promise.resolve('returned') : undefined
            },
            { to },
          ),
      })
      const producer = bench.producer({ topic })
      for (const id of ['nothing', 'generator', 'value']) void bench.ledger.send(producer, id, { id, key: 'k' })
      await bench.until(
        () => received.succeeded.length === 3 && member.loop.stats().acked === 3,
        'all that was put out',
      )
      expect(received.handlings.map(({ value }) => value)).toEqual(['generator once', 'generator twice', 'returned'])
    },
  )
}

function failing(suite: Suite): void {
  suite.test(
    'an error in the middle fails the attempt; the next one sends the same outputs under the same ids',
    { topics: 2 },
    async (bench) => {
      const [topic = '', target = ''] = bench.topics
      const received = await receiver(bench)
      let attempts = 0
      const member = await bench.member({
        topic,
        attach: (loop) =>
          void loop.handle(
            async function* () {
              attempts += 1
              yield 'one'
              if (attempts === 1) throw new Error('in the middle')
              yield 'two'
            },
            { to: bench.producer({ topic: target }) },
          ),
      })
      void bench.ledger.send(bench.producer({ topic }), 1, { id: 'm', key: 'k' })
      await bench.until(
        () => received.succeeded.length === 3 && member.loop.stats().acked === 1,
        'the outputs of both attempts, and the ack',
      )
      const [first, second, third] = received.handlings
      expect([first?.value, second?.value, third?.value]).toEqual(['one', 'one', 'two'])
      expect(second?.id).toBe(first?.id)
      expect(third?.id).not.toBe(first?.id)
    },
  )
}

function confirmations(suite: Suite): void {
  suite.test('the message is acked only after all its outputs are confirmed', {}, async (bench) => {
    const gate = new Gate()
    const sent: unknown[] = []
    const to: OutputTarget<string> = {
      send: (value) => {
        sent.push(value)
        return gate.opened
      },
    }
    const member = await bench.member({
      attach: (loop) =>
        void loop.handle(
          function* () {
            yield 'one'
            yield 'two'
          },
          { to },
        ),
    })
    void bench.ledger.send(bench.producer(), 1, { id: 'm', key: 'k' })
    await bench.until(() => sent.length === 2, 'both outputs on their way')
    expect(member.loop.stats()).toMatchObject({ running: 1, handled: 0, acked: 0 })
    gate.open()
    await bench.until(() => member.loop.stats().acked === 1, 'the ack')
  })

  suite.test('an output that is not accepted fails the attempt, also beside middleware', {}, async (bench) => {
    const sent: string[] = []
    const to: OutputTarget<string> = {
      send: async (value) => {
        sent.push(value)
        if (sent.length === 1) throw new Error('refused')
      },
    }
    const seen: string[] = []
    const member = await bench.member({
      settings: {
        middleware: [
          async (_message, next) => {
            const result = await next().catch((error: unknown) => error)
            seen.push(result instanceof Error ? result.message : 'done')
            if (result instanceof Error) throw result
          },
        ],
      },
      attach: (loop) =>
        void loop.handle(
          async function* () {
            yield 'one'
          },
          { to },
        ),
    })
    void bench.ledger.send(bench.producer(), 1, { id: 'm', key: 'k' })
    await bench.until(() => member.loop.stats().acked === 1, 'the ack')
    await bench.ledger.allConfirmed()
    expect({ sent, seen }).toEqual({ sent: ['one', 'one'], seen: ['refused', 'done'] })
    await member.leave()
    expect(await leftFor(bench, ['k'])).toEqual([])
  })
}
