import {
  CAPABILITY_NAMES,
  ConsumerFactory,
  HandlerFactory,
  isStreamError,
  type Message,
  registerAdapter,
} from '@streamswitch/core'
import { expect } from 'vitest'
import { type Bench, quickRetry } from './bench.js'
import { within } from './collect.js'
import { rejection, thrown } from './expect-error.js'
import { leftFor } from './expect-history.js'
import type { Suite } from './suite.js'

/** Named queues: pairs that share a transport, loops made by routing alone, everything closed at the end. */
export function factories(suite: Suite): void {
  suite.describe('factories', () => {
    handlerFactory(suite)
    consumerFactory(suite)
  })
}

function handlerFactory(suite: Suite): void {
  suite.test('a HandlerFactory pair on one address shares its transport, and closes it', {}, async (bench) => {
    const factory = new HandlerFactory(
      { orders: { name: bench.topic, consumerLoop: address(suite, bench), producer: address(suite, bench) } },
      { group: bench.group, environment: {}, transports: { [suite.settings.adapter.name]: bench.transportOptions } },
    )
    const loop = factory.handle(
      'orders',
      bench.journal.record({ member: 'factory', group: bench.group }, () => {}),
    )
    const producer = factory.producer('orders')
    expect(producer.transport).toBe(loop.transport)
    await loop.init()
    const ended = loop.run()
    void bench.ledger.send(producer, { total: 12 }, { key: 'c1', id: 'through-the-pair' })
    await bench.handledAll(['through-the-pair'])
    await bench.ledger.allConfirmed()
    await within(factory.close(), 'the end of close')
    expect(await ended).toBeUndefined()
    await rejection(producer.send(1), 'CLOSED')
    thrown(() => producer.transport.producer(bench.topic), 'CLOSED')
    // For what comes after a test: what was made is deleted.
    bench.transport()
  })

  suite.test('a HandlerFactory refuses every capability that is missing, in one error', {}, async (bench) => {
    const transport = bench.transport()
    const missing = CAPABILITY_NAMES.filter((name) => !suite.has(name))
    const queues = Object.fromEntries(
      CAPABILITY_NAMES.map((name) => [name, { name: bench.topic, producer: { transport, requires: [name] } }]),
    )
    const made = attempt(() => new HandlerFactory(queues))
    expect(isStreamError(made) ? made.code : 'accepted').toBe(missing.length > 0 ? 'UNSUPPORTED' : 'accepted')
    for (const name of missing) expect(String(made)).toContain(`queues.${name}.producer`)
    for (const name of CAPABILITY_NAMES.filter((one) => !missing.includes(one)))
      expect(String(made)).not.toContain(`queues.${name}.`)
  })
}

function consumerFactory(suite: Suite): void {
  suite.test('routing alone makes a loop with its handler; a queue is routed once', {}, async (bench) => {
    const consumers = new ConsumerFactory(bench.transport(), {
      group: bench.group,
      loops: { partitions: bench.partitions, retry: quickRetry() },
    })
    const seen: string[] = []
    const loop = consumers.route(bench.topic, ({ id }: Message) => {
      seen.push(id)
      bench.watch.changed()
    })
    const error = thrown(() => consumers.route(bench.topic, () => {}), 'CONFLICT')
    expect(error.message).toContain(bench.topic)
    await loop.init()
    const ended = loop.run()
    void bench.ledger.send(bench.producer(), 1, { key: 'k', id: 'routed' })
    await bench.until(() => seen.length > 0, 'the routed message')
    await bench.ledger.allConfirmed()
    await within(consumers.close(), 'the end of close')
    expect(await ended).toBeUndefined()
    expect(seen).toEqual(['routed'])
    expect(await leftFor(bench, ['k'])).toEqual([])
  })
}

/** The bench's address, found by its URL as an application would. */
function address(suite: Suite, bench: Bench): string {
  // Another copy of the adapter, from its package, does as well.
  attempt(() => registerAdapter(suite.settings.adapter))
  return bench.url
}

/** What the action returns or throws. */
function attempt(action: () => unknown): unknown {
  try {
    return action()
  } catch (error) {
    return error
  }
}
