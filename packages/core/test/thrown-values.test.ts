import { describe, expect, it } from 'vitest'
import {
  describe as describeThrown,
  inspectable,
  isBatchError,
  isStreamError,
  messageOf,
  nameOf,
  toStreamError,
} from '../src/errors.js'
import type { Message } from '../src/message.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

function revoked(target: object): unknown {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}

function refuse(): never {
  throw new Error('not to be looked at')
}

/** What JavaScript lets a handler throw, and nobody can turn into text by `String()`. */
const HOSTILE: Readonly<Record<string, () => unknown>> = {
  'an object without prototype': () => Object.assign(Object.create(null), { reason: 1 }),
  'an object whose toString throws': () => ({ toString: refuse }),
  'an object whose toString returns an object': () => ({ toString: () => ({}), valueOf: () => ({}) }),
  'an Error whose message throws': () => Object.defineProperty(new Error('x'), 'message', { get: refuse }),
  'an Error whose name throws': () => Object.defineProperty(new Error('x'), 'name', { get: refuse }),
  'an Error whose message has no prototype': () => Object.assign(new Error('x'), { message: Object.create(null) }),
  'an Error with a symbol for a name': () => Object.assign(new Error('x'), { name: Symbol('name') }),
  'a revoked Proxy': () => revoked({}),
  'a revoked Proxy of a function': () => revoked(() => {}),
  'a Proxy whose traps throw': () => new Proxy({}, { getPrototypeOf: refuse, has: refuse, get: refuse }),
  'a Proxy whose has() throws': () => new Proxy(new Error('x'), { has: refuse }),
  'a symbol': () => Symbol('thrown'),
  nothing: () => undefined,
  null: () => null,
}

describe('a value that nobody can describe', () => {
  it.each(Object.entries(HOSTILE))('is told without throwing: %s', (_name, make) => {
    const value = make()
    for (const text of [describeThrown(value), messageOf(value), toStreamError(value, { code: 'UNKNOWN' }).message])
      expect(typeof text).toBe('string')
    expect(['string', 'undefined']).toContain(typeof nameOf(value))
    expect(isStreamError(value)).toBe(false)
    expect(isBatchError(value)).toBe(false)
    const usable = inspectable(value)
    expect(
      () => usable instanceof TypeError || (usable !== null && typeof usable === 'object' && 'code' in usable),
    ).not.toThrow()
  })

  it('says what it is where it says no more', () => {
    expect(messageOf(revoked({}))).toBe("object that can't be shown as a string")
    expect(messageOf(Symbol('thrown'))).toBe('Symbol(thrown)')
    expect(describeThrown(Object.assign(new TypeError('x'), { message: '' }))).toBe('TypeError: ')
  })
})

/** How messages reach a handler, and how their failures leave it. */
const WAYS: Readonly<Record<string, (value: () => unknown) => (message: Message) => unknown>> = {
  thrown: (value) => () => {
    throw value()
  },
  'a rejection': (value) => () => Promise.reject(value()),
  'given back by nack()': (value) => (message) => message.nack(value()),
  'thrown by a generator': (value) =>
    async function* () {
      yield* []
      throw value()
    },
}

describe('a handler that fails with a value that nobody can describe', () => {
  for (const [way, failing] of Object.entries(WAYS)) {
    it.each(Object.entries(HOSTILE))(`fails like any other, ${way}: %s`, async (_name, make) => {
      const script = new Script()
      const loop = scriptedTransport(script).consumer<string>('orders', {
        group: 'billing',
        retry: { attempts: 2, minDelayMs: 0, maxDelayMs: 0 },
        deadLetter: { topic: 'failed' },
      })
      const fail = failing(make)
      let starts = 0
      loop.handle((message) => {
        if (message.id !== 'a1') return undefined
        starts += 1
        return fail(message)
      })
      const running = loop.run()
      await until(() => script.consumers.length > 0)
      const assignment = { topic: 'orders', partition: 0, epoch: 1 }
      script.consumer.sink.assigned([assignment])
      void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'a2', 'b1']))
      const { batch, finish } = await script.nextCall()
      expect(Object.values(batch.records[0]?.headers ?? {}).every((one) => typeof one === 'string')).toBe(true)
      batch.acceptAll()
      finish()
      await until(() => script.consumer.acked.length === 3)
      expect(starts).toBe(2)
      expect(loop.stats()).toMatchObject({ deadLettered: 1, handled: 2, running: 0, unsettled: 0 })
      await loop.close()
      await running
    })
  }

  it('ends the loop with an error that says so, where nothing else is left', async () => {
    const script = new Script()
    const loop = scriptedTransport(script).consumer('orders', {
      group: 'billing',
      retry: { attempts: 1 },
      deadLetter: false,
    })
    loop.handle(() => Promise.reject(revoked({})))
    const running = loop.run()
    await until(() => script.consumers.length > 0)
    const assignment = { topic: 'orders', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1']))
    await expect(running).rejects.toMatchObject({ code: 'UNKNOWN', message: "object that can't be shown as a string" })
  })
})

describe('a handler that returns a value that nobody can look at', () => {
  const returned: Readonly<Record<string, () => unknown>> = {
    'a revoked Proxy': () => revoked({}),
    'an object whose then throws': () => Object.defineProperty({}, 'then', { get: refuse }),
    'a promise of a revoked Proxy of a function': async () => revoked(() => {}),
  }
  it.each(Object.entries(returned))('has succeeded, or has failed, and others go on: %s', async (_name, make) => {
    const script = new Script()
    const loop = scriptedTransport(script).consumer<string>('orders', {
      group: 'billing',
      retry: { attempts: 1 },
      deadLetter: false,
      errorPolicy: 'restart',
    })
    loop.handle((message) => (message.id === 'a1' ? make() : undefined))
    const running = loop.run()
    await until(() => script.consumers.length > 0)
    const assignment = { topic: 'orders', partition: 0, epoch: 1 }
    script.consumer.sink.assigned([assignment])
    void script.consumer.sink.deliver(assignment, deliveriesOf(assignment, ['a1', 'a2', 'b1']))
    await until(() => script.consumer.acked.length === 3)
    await loop.close()
    await running
  })
})
