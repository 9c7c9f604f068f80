import { describe, expect, it } from 'vitest'
import { checkRetryRule, retryTest } from '../src/consumer/retry-test.js'
import { checkStart } from '../src/consumer/start-positions.js'
import { StreamError } from '../src/errors.js'
import { deliveriesOf, Script, scriptedTransport, until } from './support/scripted-adapter.js'

const ASSIGNMENT = { topic: 'orders', partition: 0, epoch: 1 }

/** A loop that is to have its handler set. */
function loopOf(options: object = {}) {
  const script = new Script()
  const loop = scriptedTransport(script).consumer<string>('orders', {
    group: 'billing',
    retry: { attempts: 1 },
    deadLetter: false,
    ...options,
  })
  const deliver = async (ids: string[]): Promise<void> => {
    await until(() => script.consumers.length > 0)
    script.consumer.sink.assigned([ASSIGNMENT])
    void script.consumer.sink.deliver(ASSIGNMENT, deliveriesOf(ASSIGNMENT, ids))
  }
  return { script, loop, deliver }
}

describe('generators', () => {
  it.each([
    [
      'a generator function',
      function* () {
        yield 1
      },
    ],
    [
      'a function that returns one',
      () =>
        (function* () {
          yield 1
        })(),
    ],
    [
      'an async function that returns one',
      async () =>
        (async function* () {
          yield 1
        })(),
    ],
  ])('%s without a target: its values are dropped, and the message is acked', async (_title, handler) => {
    const { loop, deliver, script } = loopOf()
    loop.handle(handler)
    void loop.run()
    await deliver(['a1'])
    await until(() => script.consumer.acked.length === 1)
    await loop.close()
  })

  it('that yields nothing needs no place, and is run', async () => {
    const { loop, deliver, script } = loopOf()
    let ran = false
    loop.handle(() =>
      // biome-ignore lint/correctness/useYield: that is the case
      (function* () {
        ran = true
      })(),
    )
    void loop.run()
    await deliver(['a1'])
    await until(() => script.consumer.acked.length === 1)
    expect(ran).toBe(true)
    await loop.close()
  })

  it('a target that is none is refused at once', () => {
    expect(() => loopOf().loop.handle(() => {}, { to: {} as never })).toThrow('to must be a producer')
  })
})

describe('a loop as an iterator', () => {
  it("starts one message at a time: a slow body doesn't let the others run into their timeout", async () => {
    const { loop, deliver } = loopOf({ handlerTimeoutMs: 40, concurrency: 10, retry: { minDelayMs: 0, maxDelayMs: 0 } })
    const iterator = loop[Symbol.asyncIterator]()
    const first = iterator.next()
    await deliver(['a1', 'b1', 'c1'])
    const { value } = await first
    expect(loop.stats().running).toBe(1)
    await until(() => value?.signal.aborted === true)
    await iterator.return?.()
    expect(loop.stats().retried, 'nobody but the message at hand').toBeLessThanOrEqual(1)
  })

  it.each([
    ['after its ack', true],
    ['before its ack', false],
  ])('leaving it with a message %s is no overlap: nothing of it runs any more', async (_title, acks) => {
    const { script, loop, deliver } = loopOf()
    const iterator = loop[Symbol.asyncIterator]()
    const first = iterator.next()
    await deliver(['a1', 'b1'])
    const { value } = await first
    if (acks) await value?.ack()
    await iterator.return?.()
    await new Promise((resolve) => setImmediate(resolve))
    expect(loop.stats().overlaps).toBe(0)
    expect(script.consumer.acked).toEqual(acks ? ['a1'] : [])
  })
})

describe('the error policy', () => {
  it("'restart' waits longer the more it skips in a row, and starts anew after a success", async () => {
    const started: string[] = []
    const skipped: string[] = []
    // The first skip comes at once, the next one in a row not within this test.
    const retry = { attempts: 1, minDelayMs: 1, maxDelayMs: 60_000, factor: 1_000_000 }
    const { loop, deliver } = loopOf({ errorPolicy: 'restart', retry })
    loop.on('skipped', ({ id }) => skipped.push(id))
    loop.handle(({ id }) => {
      started.push(id)
      if (id !== 'a2') throw new Error('no')
    })
    void loop.run()
    await deliver(['a1', 'a2', 'a3', 'a4', 'a5'])
    await until(() => started.includes('a4'))
    expect({ started, skipped }).toEqual({ started: ['a1', 'a2', 'a3', 'a4'], skipped: ['a1', 'a3'] })
    expect(loop.stats()).toMatchObject({ skipped: 2, handled: 1, running: 0, unsettled: 2 })
    await loop.close()
  })
})

describe('retry.when as a list', () => {
  it.each([
    [[], false],
    [['CONFLICT', 'ECONNRESET', '40001', RangeError], true],
    [['CONFLCT'], false],
    [[''], false],
    [[42], false],
    [[() => true], false],
  ])('%j is a rule: %s', (rule, fits) => {
    expect(typeof checkRetryRule(rule) !== 'string').toBe(fits)
  })

  it('names the code that was meant', () => {
    expect(checkRetryRule(['UNAVAILBLE'])).toContain("did you mean 'UNAVAILABLE'?")
  })

  it('knows codes of any error, and subclasses', () => {
    class Locked extends RangeError {}
    const test = retryTest(['TIMEOUT', 'EPIPE', RangeError])
    expect([new StreamError('', { code: 'TIMEOUT' }), new StreamError('', { code: 'CLOSED' })].map(test)).toEqual([
      true,
      false,
    ])
    expect(
      [Object.assign(new Error(), { code: 'EPIPE' }), new Locked(), new Error(), 'EPIPE', undefined].map(test),
    ).toEqual([true, true, false, false, false])
  })
})

describe('from', () => {
  it.each([
    ['earliest', true],
    [{ offset: 3 }, true],
    [['earliest', undefined, { timestamp: 5 }], true],
    [{ partitions: { 0: 'latest', 12: { offset: '1-0' } } }, true],
    [{ partitions: { 0: 'later' } }, false],
    [{ partitions: { '-1': 'latest' } }, false],
    [{ partitions: 3 }, false],
    [[], false],
    [{ partitions: {} }, false],
  ])('%j is a start: %s', (from, fits) => {
    expect(typeof checkStart(from) !== 'string').toBe(fits)
  })
})
