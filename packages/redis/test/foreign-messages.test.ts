import { Transport } from '@streamswitch/core'
import {
  headerNames,
  headerTexts,
  invalidUtf8,
  nonTextBytes,
  passesForeignMessages,
  someBytes,
} from '@streamswitch/testkit/foreign'
import fc, { type Arbitrary } from 'fast-check'
import { Redis } from 'ioredis'
import type { RawField, RedisEntry } from '../src/entry.js'
import redis from '../src/index.js'
import { brokerUrl } from './broker-url.js'

const PARTITIONS = 3

interface Odd {
  readonly kinds: readonly string[]
  readonly fields: readonly RawField[]
}

const field = (name: string | Buffer, value: string | Buffer): RawField => [Buffer.from(name), Buffer.from(value)]
const odd = (kind: string | undefined, fields: Arbitrary<readonly RawField[]>): Arbitrary<Odd> =>
  fields.map((list) => ({ kinds: kind === undefined ? [] : [kind], fields: list }))
const one = (kind: string | undefined, value: Arbitrary<RawField>): Arbitrary<Odd> =>
  odd(
    kind,
    value.map((pair) => [pair]),
  )
const none = odd(undefined, fc.constant([]))

const textHeader = fc.tuple(headerNames(), headerTexts()).map(([name, value]) => field(`h.${name}`, value))
const payload = fc.oneof(
  one(
    undefined,
    someBytes(100).map((bytes) => field('payload', bytes)),
  ),
  one('tombstone', fc.constant(field('streamswitch-tombstone', '1'))),
  odd(
    'repeated payload',
    fc.tuple(someBytes(5), someBytes(5)).map((list) => list.map((bytes) => field('payload', bytes))),
  ),
  // What any other application writes: fields of its own.
  odd(
    'no payload',
    fc
      .tuple(
        fc.array(
          fc.tuple(headerNames(), headerTexts()).map(([name, text]) => field(name, text)),
          { maxLength: 3 },
        ),
        headerTexts().map((text) => field('h.not-a-header', text)),
      )
      .map(([list, last]) => [...list, last]),
  ),
)
const key = fc.oneof(
  none,
  one(
    undefined,
    fc.string({ unit: 'grapheme', maxLength: 10 }).map((text) => field('key', text)),
  ),
  one(
    'binary key',
    fc.oneof(nonTextBytes(12), invalidUtf8()).map((bytes) => field('key', bytes)),
  ),
  one(
    'long key',
    fc.integer({ min: 1_025, max: 2_000 }).map((size) => field('key', 'k'.repeat(size))),
  ),
)
const id = fc.oneof(
  none,
  one(
    undefined,
    fc.uuid().map((text) => field('id', text)),
  ),
  one(
    'odd id',
    fc
      .oneof(fc.constant(''), fc.string({ minLength: 257, maxLength: 300 }), nonTextBytes(8))
      .map((value) => field('id', value)),
  ),
)
const timestamp = fc.oneof(
  none,
  one(
    undefined,
    fc.integer({ min: 1_600_000_000_000, max: 1_800_000_000_000 }).map((time) => field('timestamp', String(time))),
  ),
  one(
    'odd time',
    fc
      .constantFrom('', 'abc', '-1', '007', '1.5', '9'.repeat(40), '8640000000000000', '8640000000000001')
      .map((time) => field('timestamp', time)),
  ),
)
const rest = fc.oneof(
  odd(undefined, fc.array(textHeader, { maxLength: 3 })),
  odd(
    'binary header',
    fc.tuple(
      textHeader,
      fc.tuple(headerNames(), nonTextBytes(40)).map(([name, value]) => field(`h.${name}`, value)),
    ),
  ),
  odd(
    'binary name',
    fc
      .tuple(fc.oneof(nonTextBytes(8), invalidUtf8()), fc.constantFrom('', 'h.'), someBytes(8))
      .map(([name, prefix, value]) => [field(Buffer.concat([Buffer.from(prefix), name]), value)]),
  ),
  odd(
    'repeated header',
    fc
      .tuple(headerNames(), someBytes(5), someBytes(5), textHeader)
      .map(([name, first, second, between]) => [field(`h.${name}`, first), between, field(`h.${name}`, second)]),
  ),
  odd(
    'field of another application',
    fc.tuple(fc.stringMatching(/^x-[a-z]{1,10}$/), someBytes(20)).map((pair) => [field(...pair)]),
  ),
  odd(
    'headers beyond the limits',
    fc.integer({ min: 33_000, max: 40_000 }).map((size) => [field('h.large', 'x'.repeat(size))]),
  ),
  odd(
    'reserved header',
    fc
      .constantFrom('reply-to', 'other', 'error', 'incomplete')
      .map((name) => [field(`h.streamswitch-${name}`, 'foreign')]),
  ),
)

passesForeignMessages<readonly RawField[]>({
  open: () =>
    new Transport(redis, brokerUrl, {
      environment: {},
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    }),
  partitions: PARTITIONS,
  replies: true,
  kinds: [
    'tombstone',
    'repeated payload',
    'no payload',
    'binary key',
    'long key',
    'odd id',
    'odd time',
    'binary header',
    'binary name',
    'repeated header',
    'field of another application',
    'headers beyond the limits',
    'reserved header',
  ],
  arbitrary: fc.tuple(payload, key, id, timestamp, rest).chain((parts) => {
    const fields = parts.flatMap((part) => part.fields)
    const kinds = parts.flatMap((part) => part.kinds)
    // In any order.
    return fc.shuffledSubarray(fields, { minLength: fields.length }).map((native) => ({ native, kinds }))
  }),
  async write(topic, natives) {
    await using client = await connect()
    for (const [index, native] of natives.entries())
      client.pipeline.call('XADD', `${topic}:${index % PARTITIONS}`, '*', ...native.flat())
    await client.pipeline.exec()
  },
  canonical: (native) => canonical((native as RedisEntry).rawFields),
  written: canonical,
})

async function connect() {
  const client = new Redis(brokerUrl)
  return { pipeline: client.pipeline(), [Symbol.asyncDispose]: async () => client.disconnect() }
}

function canonical(fields: readonly RawField[]): string {
  const own = fields.filter(([name]) => !name.toString('latin1').startsWith('h.streamswitch-'))
  return JSON.stringify(own.map(([name, value]) => [name.toString('hex'), value.toString('hex')]))
}
