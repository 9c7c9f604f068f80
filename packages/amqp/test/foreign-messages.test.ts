import {
  headerNames,
  headerTexts,
  invalidUtf8,
  nonTextBytes,
  passesForeignMessages,
  someBytes,
} from '@streamswitch/testkit/foreign'
import type { ConsumeMessage } from 'amqplib'
import fc, { type Arbitrary } from 'fast-check'
import { propertyBytes, routingKeyBytes } from '../src/exact-frames.js'
import { brokerUrl } from './support/broker.js'
import { openTransport } from './support/member.js'
import { Bit, long, publishRaw, type RawMessage, short } from './support/raw-publisher.js'

type RawHeader = RawMessage['headers'][number]

interface Odd<T> {
  readonly kinds: readonly string[]
  readonly value: T
}

const odd = <T>(kind: string | undefined, arbitrary: Arbitrary<T>): Arbitrary<Odd<T>> =>
  arbitrary.map((value) => ({ kinds: kind === undefined ? [] : [kind], value }))

const fixed = (tag: string, bytes: number): Arbitrary<Buffer> =>
  fc
    .uint8Array({ minLength: bytes, maxLength: bytes })
    .map((value) => Buffer.concat([Buffer.from(tag), Buffer.from(value)]))
const finite = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .filter((value) => !Object.is(value, -0))
  .map((value) => {
    const bytes = Buffer.alloc(9, 'd')
    bytes.writeDoubleBE(value, 1)
    return bytes
  })
const single = fc
  .float({ noNaN: true, noDefaultInfinity: true })
  .filter((value) => !Object.is(value, -0))
  .map((value) => {
    const bytes = Buffer.alloc(5, 'f')
    bytes.writeFloatBE(value, 1)
    return bytes
  })
const number = fc.oneof(
  fixed('b', 1),
  fixed('B', 1),
  fixed('s', 2),
  fixed('u', 2),
  fixed('I', 4),
  fixed('i', 4),
  finite,
  single,
)
const wide = fc.oneof(fixed('l', 8), fc.constant(Buffer.from('6c7fffffffffffffff', 'hex')))
const text = headerTexts().map((value) => long('S', Buffer.from(value)))
const nonText = fc.oneof(nonTextBytes(40), invalidUtf8()).map((bytes) => long('S', bytes))
const other = fc.oneof(
  fixed('T', 8),
  fixed('D', 5),
  fc.constant(Buffer.from('V')),
  fc.constantFrom('7400', '7401').map((hex) => Buffer.from(hex, 'hex')),
)
const bytes = someBytes(40).map((value) => long('x', value))
const scalar = fc.oneof(number, wide, text, nonText, other, bytes)
const list = fc.array(scalar, { maxLength: 4 }).map((values) => long('A', Buffer.concat(values)))
const table = fc
  .tuple(headerNames(), fc.oneof(scalar, list))
  .map(([name, value]) => long('F', Buffer.concat([short(Buffer.from(name)), value])))
const nested = fc.array(table, { maxLength: 2 }).map((values) => long('A', Buffer.concat(values)))

const named = (value: Arbitrary<Buffer>): Arbitrary<RawHeader> =>
  fc.tuple(headerNames(), value).map(([name, one]) => [Buffer.from(name), one])
const header = (name: string, value: Buffer): RawHeader => [Buffer.from(name), value]
const oddName = fc
  .tuple(
    fc.constantFrom(Buffer.alloc(0), Buffer.from([0xff, 0xfe]), Buffer.from('a\u0000b'), Buffer.alloc(255, 'n')),
    fc.oneof(text, number),
  )
  .map((one): RawHeader => one)
const large = fc
  .integer({ min: 33_000, max: 40_000 })
  .map((size) => header('large', long('S', Buffer.alloc(size, 'x'))))
/** Ours by their names, and not as ours are. Valid times, keys and ids are left out: they are the message's. */
const reserved = fc.oneof(
  fc
    .constantFrom('abc', '', '-1', '9'.repeat(40))
    .map((time) => header('streamswitch-timestamp', long('S', Buffer.from(time)))),
  fc.constantFrom('{', '[1]', 'null').map((json) => header('streamswitch-headers', long('S', Buffer.from(json)))),
  fc.constantFrom('erp.answers', '').map((to) => header('streamswitch-reply-to', long('S', Buffer.from(to)))),
  fc.oneof(number, list).map((value) => header('streamswitch-set-aside', value)),
)
const routing = fc.oneof(
  fc.constant(header('CC', long('A', long('S', Buffer.from('elsewhere'))))),
  fc.constant(header('BCC', long('A', long('S', Buffer.from('elsewhere'))))),
  fc.constant(header('x-delivery-count', Buffer.from('6c0000000000000003', 'hex'))),
  table.map((death) => header('x-death', long('A', death))),
)
const headers = fc.oneof(
  odd(undefined, fc.array(named(text), { maxLength: 3 })),
  odd('number', fc.array(named(number), { minLength: 1, maxLength: 3 })),
  odd('64-bit number', fc.tuple(named(wide), named(text))),
  odd('time, decimal, void or truth value', fc.tuple(named(other), named(text))),
  odd('bytes', fc.tuple(named(bytes), named(text))),
  odd('text that is no UTF-8', fc.tuple(named(nonText), named(text))),
  odd('list', fc.tuple(named(list), named(text))),
  odd('table', fc.tuple(named(fc.oneof(table, nested)), named(text))),
  odd('header name that can not be sent', fc.tuple(oddName, named(text))),
  odd('reserved header', fc.tuple(reserved, named(text))),
  odd('headers that the broker acts upon', fc.tuple(routing, named(scalar))),
)
/** In a fifth of the messages: several would not fit into a frame. */
const perhapsLarge = fc.oneof(
  { weight: 4, arbitrary: odd(undefined, fc.constant([])) },
  { weight: 1, arbitrary: odd('headers beyond the limits', fc.tuple(large)) },
)

const shortText = fc
  .oneof(
    fc.constantFrom('application/avro', 'gzip', '', 'x'.repeat(255), 'line\r\nbreak', '\u0000'),
    fc.string({ unit: 'grapheme', maxLength: 20 }),
  )
  .map((one) => short(Buffer.from(one)))
const shortBytes = fc.oneof(nonTextBytes(20), invalidUtf8()).map(short)
const uint64 = (value: bigint): Buffer => {
  const eight = Buffer.alloc(8)
  eight.writeBigUInt64BE(value)
  return eight
}
const times = fc.constantFrom(0n, 1n, 1_767_225_600_000n, 1_767_225_600_000_000n, 2n ** 63n, 2n ** 64n - 1n).map(uint64)
const seconds = fc.integer({ min: 1_600_000_000, max: 1_700_000_000 }).map((value) => uint64(BigInt(value)))

type Property = readonly [bit: number, value: Buffer]
const texts: readonly number[] = [
  Bit.contentType,
  Bit.contentEncoding,
  Bit.correlationId,
  Bit.type,
  Bit.appId,
  Bit.clusterId,
]
const property = fc.tuple(fc.constantFrom(...texts), shortText).map((one): Property => one)
const properties = fc.oneof(
  odd(undefined, fc.array(property, { maxLength: 3 })),
  odd('properties', fc.array(property, { minLength: 1, maxLength: 6 })),
  odd(
    'property that is no UTF-8',
    fc.tuple(fc.constantFrom(...texts), shortBytes).map((one) => [one as Property]),
  ),
  odd(
    'priority',
    fc.nat(255).map((value) => [[Bit.priority, Buffer.of(value)] as Property]),
  ),
  odd(
    'properties that the broker acts upon',
    fc
      .constantFrom<Property>(
        [Bit.userId, short(Buffer.from('guest'))],
        [Bit.expiration, short(Buffer.from('86400000'))],
        [Bit.deliveryMode, Buffer.of(1)],
        [Bit.deliveryMode, Buffer.of(2)],
        [Bit.replyTo, short(Buffer.from('erp.answers'))],
      )
      .map((one) => [one]),
  ),
  odd(
    'time',
    fc.oneof(seconds, times).map((value) => [[Bit.timestamp, value] as Property]),
  ),
  odd(
    'message id',
    fc.oneof(shortText, shortBytes).map((value) => [[Bit.messageId, value] as Property]),
  ),
)
const routingKey = fc.oneof(
  odd(
    undefined,
    fc.string({ unit: 'grapheme', maxLength: 10 }).map((one) => Buffer.from(one)),
  ),
  odd('binary routing key', nonTextBytes(12)),
  odd(
    'routing key that is a number',
    fc.integer({ min: 1, max: 70_000 }).map((one) => Buffer.from(String(one))),
  ),
)
const body = fc.oneof(
  odd('empty body', fc.constant(Buffer.alloc(0))),
  odd('binary body', nonTextBytes(100)),
  odd(undefined, someBytes(100)),
)

const several = { minLength: 2, maxLength: 4 }

passesForeignMessages<RawMessage>({
  open: () => openTransport(brokerUrl),
  kinds: [
    'number',
    '64-bit number',
    'time, decimal, void or truth value',
    'bytes',
    'text that is no UTF-8',
    'list',
    'table',
    'header name that can not be sent',
    'headers beyond the limits',
    'reserved header',
    'headers that the broker acts upon',
    'properties',
    'property that is no UTF-8',
    'priority',
    'properties that the broker acts upon',
    'time',
    'message id',
    'binary routing key',
    'routing key that is a number',
    'empty body',
    'binary body',
  ],
  arbitrary: fc
    .tuple(routingKey, body, fc.array(properties, several), fc.array(headers, several), perhapsLarge)
    .map(([one, two, three, four, five]) => ({
      native: {
        routingKey: one.value,
        body: two.value,
        properties: new Map(three.flatMap(({ value }) => [...value])),
        headers: [...four, five].flatMap(({ value }) => [...value]),
      },
      kinds: [one, two, ...three, ...four, five].flatMap(({ kinds }) => kinds),
    })),
  write: publishRaw,
  canonical(native) {
    const message = native as ConsumeMessage
    return canonical(fromReceived(message))
  },
  written: canonical,
})

/** The broker removes these, or what was meant by them isn't meant again. */
const NOT_AGAIN = new Set(['CC', 'BCC', 'x-death', 'x-delivery-count', 'x-acquired-count'])
const NOT_AGAIN_BITS: ReadonlySet<number> = new Set([Bit.deliveryMode, Bit.replyTo, Bit.expiration, Bit.userId])

/** The broker sorts headers by their names, and keeps the first one of a name. */
function canonical({ routingKey: routed, body: content, properties: all, headers: entries }: RawMessage): string {
  const byName = new Map<string, string>()
  let key = routed.toString('hex')
  for (const [name, value] of entries) {
    const text = name.toString()
    if (text === 'streamswitch-key') key = value.subarray(5).toString('hex')
    const own = text.startsWith('streamswitch-') || NOT_AGAIN.has(text)
    if (!own && !byName.has(name.toString('hex'))) byName.set(name.toString('hex'), value.toString('hex'))
  }
  const others = [...all]
    .filter(([bit]) => !NOT_AGAIN_BITS.has(bit))
    .map(([bit, value]) => [bit, value.toString('hex')])
  return JSON.stringify([key, content.toString('hex'), others.sort(byFirst), [...byName].sort(byFirst)])
}

function byFirst([a]: readonly (string | number)[], [b]: readonly (string | number)[]): number {
  return a === b ? 0 : (a as string) < (b as string) ? -1 : 1
}

/** Taken apart here once more: what the adapter makes of it is what is tested. */
function fromReceived(message: ConsumeMessage): RawMessage {
  const source = propertyBytes(message) ?? Buffer.alloc(2)
  const flags = source.readUInt16BE(0)
  const found = new Map<number, Buffer>()
  let entries: RawHeader[] = []
  let at = 2
  for (let bit = 15; bit >= 2; bit -= 1) {
    if ((flags & (1 << bit)) === 0) continue
    const size = sizeOf(bit, source, at)
    const value = source.subarray(at, at + size)
    if (bit === Bit.headers) entries = headersIn(value.subarray(4))
    else found.set(bit, value)
    at += size
  }
  const routed = message.fields.routingKey === '0' ? Buffer.alloc(0) : routingKeyBytes(message)
  return { routingKey: routed, body: message.content, properties: found, headers: entries }
}

function sizeOf(bit: number, source: Buffer, at: number): number {
  if (bit === Bit.headers) return 4 + source.readUInt32BE(at)
  if (bit === Bit.timestamp) return 8
  return bit === Bit.deliveryMode || bit === Bit.priority ? 1 : 1 + source.readUInt8(at)
}

function headersIn(source: Buffer): RawHeader[] {
  const entries: RawHeader[] = []
  for (let at = 0; at < source.length; ) {
    const valueAt = at + 1 + source.readUInt8(at)
    const fixedBytes = { t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, l: 8, d: 8, T: 8, V: 0 }
    const tag = String.fromCharCode(source.readUInt8(valueAt)) as keyof typeof fixedBytes
    const end = valueAt + 1 + (fixedBytes[tag] ?? 4 + source.readUInt32BE(valueAt + 1))
    entries.push([source.subarray(at + 1, valueAt), source.subarray(valueAt, end)])
    at = end
  }
  return entries
}
