import {
  CAPABILITY_NAMES,
  type CapabilityName,
  type CapabilityValue,
  ConsumerLoop,
  OFFICIAL_ADAPTERS,
  Producer,
  Transport,
} from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import { rejection, thrown } from './expect-error.js'
import type { Suite } from './suite.js'

/** What the adapter says of itself: at least the table, and nothing it doesn't keep to. */
export function capabilities(suite: Suite): void {
  describe('capabilities', () => {
    declared(suite)
    required(suite)
    requestReply(suite)
    lag(suite)
  })
}

/** How much a declaration promises: no, under a condition, yes. */
function strength(value: CapabilityValue): number {
  if (value === false) return 0
  return value === true ? 2 : 1
}

function declared(suite: Suite): void {
  const { adapter } = suite.settings
  const official = OFFICIAL_ADAPTERS.find((one) => one.name === adapter.name)

  test('every capability is declared: yes, no, or a condition', () => {
    expect(Object.keys(adapter.capabilities).sort()).toEqual([...CAPABILITY_NAMES].sort())
    for (const name of CAPABILITY_NAMES) {
      const value = adapter.capabilities[name]
      expect(
        typeof value === 'boolean' || (typeof value === 'string' && value.trim() !== ''),
        `${name}: ${String(value)}`,
      ).toBe(true)
    }
  })

  test('no capability is less than the table of official adapters says', () => {
    const less = CAPABILITY_NAMES.filter(
      (name) => official !== undefined && strength(adapter.capabilities[name]) < strength(official.capabilities[name]),
    )
    expect(less).toEqual([])
    if (official !== undefined) expect([...adapter.schemes]).toEqual([...official.schemes])
  })

  test('the definition is complete, and its classes are thin subclasses that open nothing', () => {
    const { Producer: OwnProducer, ConsumerLoop: OwnLoop } = adapter.classes()
    expect(adapter.schemes.length).toBeGreaterThan(0)
    expect(
      adapter.schemes.some((scheme) => adapter.defaultUrl.startsWith(`${scheme}://`)),
      `defaultUrl ${adapter.defaultUrl}`,
    ).toBe(true)
    expect(adapter.environmentUrl({}), 'an empty environment says nothing').toBeUndefined()
    expect(Object.getPrototypeOf(OwnProducer)).toBe(Producer)
    expect(Object.getPrototypeOf(OwnLoop)).toBe(ConsumerLoop)
    for (const name of ['send', 'sendBatch', 'flush', 'close', 'init'])
      expect(Object.hasOwn(OwnProducer.prototype, name), `${name} of the producer`).toBe(false)
    for (const name of ['run', 'handle', 'init', 'close', 'seek'])
      expect(Object.hasOwn(OwnLoop.prototype, name), `${name} of the loop`).toBe(false)
  })

  suite.test('producers and loops of a transport are instances of its classes', {}, async (bench) => {
    const transport = bench.transport()
    const { Producer: OwnProducer, ConsumerLoop: OwnLoop } = adapter.classes()
    expect(transport.producer(bench.topic)).toBeInstanceOf(OwnProducer)
    expect(transport.consumer(bench.topic, { group: bench.group })).toBeInstanceOf(OwnLoop)
    expect(transport).toMatchObject({ name: adapter.name, capabilities: adapter.capabilities })
  })
}

function required(suite: Suite): void {
  const { adapter } = suite.settings

  suite.test('requires accepts what is declared, and nothing that is no capability', {}, async (bench) => {
    const offered = CAPABILITY_NAMES.filter((name) => suite.has(name))
    expect(bench.transport({ requires: offered }).name).toBe(adapter.name)
    const error = thrown(() => bench.transport({ requires: ['teleportation' as CapabilityName] }), 'INVALID_ARGUMENT')
    expect(error.message).toContain('teleportation')
    const near = thrown(() => bench.transport({ requires: ['replai' as CapabilityName] }), 'INVALID_ARGUMENT')
    expect(near.message, 'suggests what was meant').toContain("'replay'")
  })

  const missing = CAPABILITY_NAMES.filter((name) => !suite.has(name))
  if (missing.length < 2) return
  suite.test('requires names every missing capability at once', {}, async (bench) => {
    const error = thrown(() => new Transport(adapter, bench.url, { environment: {}, requires: missing }), 'UNSUPPORTED')
    for (const name of missing) expect(error.message).toContain(`'${name}'`)
  })
}

/** Item 15 has the cases of transports that have it. */
function requestReply(suite: Suite): void {
  if (suite.has('requestReply')) return
  suite.refused('requestReply')
  suite.test('request() is refused with UNSUPPORTED', {}, async (bench) => {
    const producer = bench.producer()
    thrown(() => producer.request(1), 'UNSUPPORTED')
    expect(producer.stats().connected).toBe(false)
  })
}

function lag(suite: Suite): void {
  if (suite.has('lag')) {
    suite.test(
      'lag is what the group has not finished, also before its first message',
      { partitions: suite.partitions },
      async (bench) => {
        const member = await bench.member()
        const total = async (): Promise<number> => (await member.loop.lag()).reduce((sum, one) => sum + one.lag, 0)
        // Not known where the join takes long.
        await expect.poll(total, { timeout: 30_000, message: 'of an empty topic' }).toBe(0)
        member.loop.pause()
        bench.ledger.series(bench.producer(), ['a', 'b', 'c', undefined], 10)
        await bench.ledger.allConfirmed()
        await expect.poll(total, { timeout: 10_000, message: 'while nothing is handled' }).toBe(40)
        member.loop.resume()
        await bench.handledCount(40)
        await expect.poll(total, { timeout: 10_000, message: 'when all is done' }).toBe(0)
        const listed = (await member.loop.lag()).map(({ topic, partition }) => `${topic}/${partition}`)
        expect(new Set(listed).size, 'each partition once').toBe(listed.length)
        expect(listed.every((name) => name.startsWith(`${bench.topic}/`))).toBe(true)
      },
    )
    return
  }
  suite.refused('lag')
  suite.test('lag() is refused with UNSUPPORTED', {}, async (bench) => {
    const loop = bench.transport().consumer(bench.topic, { group: bench.group })
    await rejection(loop.lag(), 'UNSUPPORTED')
    expect(loop.stats().connected).toBe(false)
  })
}
