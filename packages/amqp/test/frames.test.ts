import { driverOf, type OutgoingRecord } from '@streamswitch/core/driver'
import { startBroker } from '@streamswitch/testkit/brokers'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Handled, openTransport, startMember, uniqueName } from './support/member.js'
import { OwnBroker } from './support/own-broker.js'

const WAIT = { timeout: 40_000, interval: 50 }
const LONG = 120_000
/** The least that RabbitMQ takes. */
const FRAME_MAX = 8_192
let own: OwnBroker

beforeAll(async () => {
  own = new OwnBroker(
    await startBroker('rabbitmq', { config: [`frame_max = ${FRAME_MAX}`, 'collect_statistics_interval = 500'] }),
  )
})

afterAll(() => own?.broker.remove())

async function member(topic: string, handled: Handled[], headers: Record<string, unknown>[] = []) {
  const started = await startMember({
    url: own.url,
    topic,
    group: 'g',
    name: 'm',
    handled,
    handler: (message) => void headers.push(message.headers),
  })
  onTestFinished(() => started.transport.close())
  return started
}

test(
  'headers that do not fit into a frame are TOO_LARGE before sending, and nothing else is',
  async () => {
    const topic = uniqueName('frames')
    const handled: Handled[] = []
    const { transport } = await member(topic, handled)
    const producer = transport.producer<number>(topic)
    const large = { blob: 'x'.repeat(20_000) }
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, number) =>
        producer.send(number, { key: `k${number % 3}`, ...(number % 10 === 5 ? { headers: large } : {}) }),
      ),
    )
    const refused = outcomes.flatMap((outcome, number) => (outcome.status === 'rejected' ? [number] : []))
    expect(refused).toEqual([5, 15, 25])
    expect(outcomes[5]).toMatchObject({
      reason: { code: 'TOO_LARGE', retryable: false, message: expect.stringContaining('frame_max of 8192') },
    })
    await expect.poll(() => handled.length, WAIT).toBe(27)
    expect(handled.map(({ number }) => number)).toEqual(
      Array.from({ length: 30 }, (_, number) => number).filter((number) => number % 10 !== 5),
    )
    expect(producer.stats()).toMatchObject({ reconnects: 0, resent: 0 })
  },
  LONG,
)

test.each([
  ['one header', (bytes: number) => ({ headers: { blob: 'x'.repeat(bytes) } })],
  ['many headers', (bytes: number) => ({ headers: Object.fromEntries(many(bytes)) })],
  ['characters of three bytes', (bytes: number) => ({ headers: { blob: '€'.repeat(bytes / 3) } })],
  ['names that need another form', (bytes: number) => ({ headers: { CC: 'x'.repeat(bytes) } })],
])(
  'what is accepted also arrives, and survives being dropped: %s',
  async (_title, options) => {
    const topic = uniqueName('frames')
    const transport = openTransport(own.url)
    onTestFinished(() => transport.close())
    const group = transport.consumer(topic, { group: 'g' })
    await group.init()
    await group.close()
    await own.setPolicy({ 'max-length': 1, overflow: 'drop-head' }, `^${topic}:`)
    onTestFinished(() => own.clearPolicy())
    await own.policyApplies(`${topic}:g:0`, { 'max-length': 1 })
    const producer = transport.producer<number>(topic)
    const accepted: number[] = []
    for (const bytes of [3_000, 4_500, 5_400, 5_700, 6_000, 6_300, 7_500, 8_100, 9_000])
      await producer.send(bytes, { id: String(bytes), ...options(bytes) }).then(
        () => accepted.push(bytes),
        (error: unknown) => expect(error).toMatchObject({ code: 'TOO_LARGE' }),
      )
    expect(accepted).toContain(4_500)
    expect(accepted).not.toContain(8_100)
    const handled: Handled[] = []
    const { loop } = await member(topic, handled)
    const dropped = new Set<number>()
    const refused = new Set<unknown>()
    loop.on('dropped', ({ id }) => dropped.add(Number(id)))
    // A dead letter has more headers than its original. What doesn't fit is tried again, and reported each time.
    loop.on('error', ({ code }) => refused.add(code))
    await expect.poll(() => handled.length, WAIT).toBe(1)
    await expect.poll(() => accepted.length - dropped.size - 1 === 0 || refused.has('TOO_LARGE'), WAIT).toBe(true)
    expect(loop.stats().reconnects).toBe(0)
  },
  LONG,
)

function many(bytes: number): [string, string][] {
  return Array.from({ length: Math.floor(bytes / 40) }, (_, index) => [
    `header-${index}`.padEnd(20, 'x'),
    'y'.repeat(14),
  ])
}

test(
  'whatever core hands over is taken, or fails alone: no record ends the channel or its batch',
  async () => {
    const topic = uniqueName('hostile')
    const handled: Handled[] = []
    const { transport } = await member(topic, handled)
    const text = fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.constantFrom('', '\ud800', '\0', 'amq.rabbitmq.reply-to#1', 'x'.repeat(300), '€'.repeat(100)),
    )
    const names = fc.oneof(
      text,
      fc.constantFrom(
        'CC',
        'BCC',
        'x-death',
        'x-delivery-count',
        'x-stream-offset',
        'x-first-death-queue',
        '__proto__',
      ),
      fc.constantFrom('x-stream-filter-value', 'x-delay', 'x-opt-a', 'x-match', 'x-expires', 'streamswitch-reply-to'),
      fc.constantFrom('streamswitch-request-id', 'streamswitch-timestamp', 'streamswitch-key', 'streamswitch-id'),
    )
    const records: fc.Arbitrary<OutgoingRecord> = fc.record({
      id: text,
      key: fc.option(text, { nil: undefined }),
      payload: fc.option(
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
        { nil: undefined },
      ),
      headers: fc.option(fc.dictionary(names, text), { nil: undefined }),
      timestamp: fc.oneof(
        fc.constantFrom(-1, Number.NaN, Infinity, -Infinity, 1e300, 2 ** 64, 2 ** 53, -0.5, 1.5, 8_640_000_000_000_001),
        fc.double(),
      ),
      partition: fc.constant(undefined),
      sequence: fc.constant(undefined),
      size: fc.constant(100_000),
      resends: fc.constant(0),
    })
    const lost: unknown[] = []
    const driver = driverOf(transport).producer(
      { topic: transport.topicSpec(topic), options: {}, contentType: 'x'.repeat(300) },
      { lost: (error) => void lost.push(error) },
    )
    await driver.open(new AbortController().signal)
    onTestFinished(() => driver.close())
    for (let round = 0; round < 20; round += 1) {
      const batch = fc.sample(records, { numRuns: 100, seed: round })
      const accepted = new Set<number>()
      const failed = new Map<number, unknown>()
      await driver.publish({
        records: batch,
        lane: 0,
        accept: (index) => void accepted.add(index),
        acceptAll: () => {},
        fail: (index, error) => void failed.set(index, error),
        failAll: () => {},
      })
      expect(lost).toEqual([])
      expect(accepted.size + failed.size).toBe(batch.length)
      for (const [index, error] of failed)
        expect(error, JSON.stringify(batch[index])).toMatchObject({ code: 'TOO_LARGE' })
    }
    await expect.poll(async () => (await transport.admin.lag(transport.topicSpec(topic), 'g'))[0]?.lag, WAIT).toBe(0)
  },
  LONG,
)
