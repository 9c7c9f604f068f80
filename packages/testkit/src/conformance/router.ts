import { ConsumerRunner, Router } from '@streamswitch/core'
import { expect } from 'vitest'
import { quickRetry } from './bench.js'
import { within } from './collect.js'
import type { Suite } from './suite.js'

/** Routes that are kept in files of their own, and listeners with state. */
export function router(suite: Suite): void {
  suite.describe('routers and listeners', () => {
    suite.test('included routes are consumed, under their prefix', { topics: 2 }, async (bench) => {
      const [one = '', two = ''] = bench.topics
      const record = (): ReturnType<typeof bench.journal.record> =>
        bench.journal.record({ member: 'router', group: bench.group }, () => {})
      const loops = { group: bench.group, partitions: bench.partitions, retry: quickRetry() }
      const prefix = `${two.split('-')[0]}-`
      const inner = new Router('inner', loops).route(two.slice(prefix.length), record())
      const app = new Router('app', loops).include(inner, { prefix }).route(one, record())
      const runner = new ConsumerRunner([app], { transport: bench.transport(), environment: {}, signals: [] })
      const run = runner.run()
      await bench.until(() => runner.state !== 'starting', 'the start')
      for (const topic of bench.topics) void bench.ledger.send(bench.producer({ topic }), topic, { id: `for-${topic}` })
      await bench.handledAll(bench.topics.map((topic) => `for-${topic}`))
      await within(runner.stop(), 'the stop')
      expect(await run).toBeUndefined()
    })

    suite.test(
      'a listener is flushed after its last message, and what it sends is confirmed before producers close',
      { topics: 2 },
      async (bench) => {
        const [incoming = '', outgoing = ''] = bench.topics
        const onwards = await bench.member({ topic: outgoing })
        const transport = bench.transport()
        const producer = transport.producer(outgoing, { partitions: bench.partitions })
        const batch: string[] = []
        const loop = transport.consumer(incoming, { group: bench.group, partitions: bench.partitions })
        loop.handle({
          consume: ({ id }) => {
            batch.push(id)
            bench.watch.changed()
          },
          flush: async () => void (await producer.send(batch, { id: 'flushed' })),
        })
        const runner = new ConsumerRunner([transport, loop], { environment: {}, signals: [] })
        const run = runner.run()
        await bench.until(() => runner.state !== 'starting', 'the start')
        for (const id of ['a', 'b'])
          void bench.ledger.send(bench.producer({ topic: incoming, transport: bench.transport() }), id, { id })
        await bench.until(() => batch.length === 2, 'both messages')
        await bench.ledger.allConfirmed()
        await within(runner.stop(), 'the stop')
        expect(await run).toBeUndefined()
        await bench.until(() => onwards.succeeded.includes('flushed'), "the listener's own message")
        const flushed = onwards.handlings.find(({ id }) => id === 'flushed')
        expect(new Set(flushed?.message.value as string[])).toEqual(new Set(['a', 'b']))
      },
    )
  })
}
