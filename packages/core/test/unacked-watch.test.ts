import { describe, expect, it } from 'vitest'
import { ConsumerRunner } from '../src/compose/runner.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function start(options: object) {
  const script = new Script()
  const transport = scriptedTransport(script)
  const loop = transport.consumer<string>('orders', { group: 'billing', ack: 'manual', ...options })
  const unacked: unknown[] = []
  loop.on('unacked', (event) => unacked.push(event))
  const acks = new Map<string, () => Promise<void>>()
  loop.handle((message) => void acks.set(message.id, () => message.ack()))
  return { script, loop, unacked, acks }
}

describe('a message that nobody acks', () => {
  it('is told once, and makes health degraded, not unhealthy, until it is settled', async () => {
    const { script, loop, unacked, acks } = await start({ unackedTimeoutMs: 30 })
    const runner = new ConsumerRunner([loop], { environment: {}, logger: SILENT })
    const running = runner.run()
    await until(() => script.consumers.length === 1)
    const assignment = { topic: 'orders', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'a2', 'b1']))
    await until(() => acks.size === 2)
    await acks.get('b1')?.()
    await until(() => unacked.length > 0)
    expect(loop.stats().unacked).toBe(1)
    expect(await runner.health()).toMatchObject({
      live: true,
      ready: true,
      degraded: true,
      loops: { orders: { degraded: true, unacked: 1 } },
    })
    await acks.get('a1')?.()
    await until(() => loop.stats().unacked === 0)
    expect(await runner.health()).toMatchObject({ degraded: false, loops: { orders: { degraded: false } } })
    expect(unacked).toEqual([{ id: 'a1', topic: 'orders', partition: 0, offset: '0' }])
    await runner.stop()
    await running
  })

  it.each([
    ['unackedTimeoutMs is 0', { unackedTimeoutMs: 0, handlerTimeoutMs: 20 }],
    ['its handler is still at work', { unackedTimeoutMs: 20, late: true }],
  ])('is not told where %s', async (_name, { late, ...options }: { late?: boolean; unackedTimeoutMs: number }) => {
    const { script, loop, unacked, acks } = await start(options)
    if (late === true) {
      // Another message is told meanwhile: the time has passed.
      const running = scriptedTransport(script).consumer('orders', { group: 'late', ack: 'manual', ...options })
      running.handle(() => new Promise(() => {}))
      void running.run()
      await until(() => script.consumers.length === 1)
      const own = { topic: 'orders', partition: 1, epoch: 1 }
      script.consumer.sink.assigned([own])
      void script.consumer.sink.deliver(own, deliveriesOf(own, ['c1']))
      void loop.run()
      await until(() => script.consumers.length === 2)
      const assignment = { topic: 'orders', partition: 0, epoch: 1 }
      script.consumer.sink.assigned([assignment])
      void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
      await until(() => unacked.length === 1)
      expect(running.stats().unacked).toBe(0)
      await running.close({ timeoutMs: 0 })
    } else {
      void loop.run()
      await until(() => script.consumers.length === 1)
      const assignment = { topic: 'orders', partition: 0, epoch: 1 }
      script.consumer.sink.assigned([assignment])
      void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
      await until(() => acks.size === 1)
      await new Promise((resolve) => setTimeout(resolve, 60))
      expect([unacked, loop.stats().unacked]).toEqual([[], 0])
    }
    await loop.close()
  })
})
