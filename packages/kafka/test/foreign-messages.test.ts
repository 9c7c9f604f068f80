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
import { ByteReader } from '../src/byte-reader.js'
import kafka from '../src/index.js'
import type { ReceivedRecord } from '../src/received-record.js'
import { brokerUrl } from './support/broker.js'
import { produceRaw, type RawRecord } from './support/raw-producer.js'

const PARTITIONS = 3

type RawHeader = RawRecord['headers'][number]

const header = (name: string, value: Buffer | null): RawHeader => [Buffer.from(name), value]

const textHeader = fc.tuple(headerNames(), headerTexts()).map(([name, value]) => header(name, Buffer.from(value)))
const binaryHeader = fc
  .tuple(headerNames(), fc.oneof(nonTextBytes(40), invalidUtf8()))
  .map(([name, value]) => header(name, value))
const nullHeader = headerNames().map((name) => header(name, null))
const repeatedHeader = fc
  .tuple(
    headerNames(),
    fc.array(fc.oneof(nonTextBytes(10), fc.constant(null), fc.constant(Buffer.from('same'))), {
      minLength: 2,
      maxLength: 4,
    }),
    textHeader,
  )
  .map(([name, values, between]) => [
    header(name, values[0] ?? null),
    between,
    ...values.slice(1).map((value) => header(name, value)),
  ])
const oddName = fc
  .tuple(
    fc.constantFrom(Buffer.alloc(0), Buffer.from([0xff, 0xfe]), Buffer.from('a\u0000b'), Buffer.from('n'.repeat(300))),
    someBytes(5),
  )
  .map((one): RawHeader => one)
const largeHeader = fc.integer({ min: 33_000, max: 40_000 }).map((size) => header('large', Buffer.alloc(size, 'x')))
/** Ours by their names, and not as ours are. Valid times are left out: they are the message's, and its record gets them. */
const reservedHeader = fc.oneof(
  fc
    .constantFrom('abc', '', '-1', '1e3', '9'.repeat(40))
    .map((time) => header('streamswitch-timestamp', Buffer.from(time))),
  fc.constantFrom('', 'i'.repeat(300), 'a\r\nb').map((id) => header('streamswitch-id', Buffer.from(id))),
  nonTextBytes(10).map((id) => header('streamswitch-id', id)),
  fc.constantFrom('erp.answers', '').map((to) => header('streamswitch-reply-to', Buffer.from(to))),
  nonTextBytes(10).map((bytes) => header('streamswitch-other', bytes)),
)

interface Odd<T> {
  readonly kinds: readonly string[]
  readonly value: T
}

const odd = <T>(kind: string | undefined, arbitrary: Arbitrary<T>): Arbitrary<Odd<T>> =>
  arbitrary.map((value) => ({ kinds: kind === undefined ? [] : [kind], value }))

const key = fc.oneof(
  odd(undefined, fc.constant(null)),
  odd(
    undefined,
    fc.string({ unit: 'grapheme', maxLength: 10 }).map((text) => Buffer.from(text)),
  ),
  odd('binary key', nonTextBytes(12)),
  odd('key that is no UTF-8', invalidUtf8()),
  odd(
    'long key',
    fc.integer({ min: 1_025, max: 2_000 }).map((size) => Buffer.alloc(size, 0x41)),
  ),
)
const value = fc.oneof(
  odd('tombstone', fc.constant(null)),
  odd('empty value', fc.constant(Buffer.alloc(0))),
  odd('binary value', nonTextBytes(100)),
  odd(undefined, someBytes(100)),
)
const headers = fc.oneof(
  odd(undefined, fc.array(textHeader, { maxLength: 4 })),
  odd('binary header', fc.tuple(textHeader, binaryHeader)),
  odd('null header', fc.tuple(nullHeader, textHeader)),
  odd('repeated header', repeatedHeader),
  odd('header name that can not be sent', fc.tuple(oddName, textHeader)),
  odd('headers beyond the limits', fc.tuple(textHeader, largeHeader)),
  odd('reserved header', fc.tuple(reservedHeader, textHeader)),
)
const timestamp = fc.oneof(
  odd(undefined, fc.integer({ min: 1_600_000_000_000, max: 1_700_000_000_000 })),
  odd('extreme time', fc.constantFrom(0, 1, 2 ** 31, 2 ** 32)),
)

passesForeignMessages<RawRecord>({
  open: () =>
    new Transport(kafka, brokerUrl, {
      environment: {},
      logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
    }),
  partitions: PARTITIONS,
  replies: true,
  kinds: [
    'binary key',
    'key that is no UTF-8',
    'long key',
    'tombstone',
    'empty value',
    'binary value',
    'binary header',
    'null header',
    'repeated header',
    'header name that can not be sent',
    'headers beyond the limits',
    'reserved header',
    'extreme time',
  ],
  arbitrary: fc.tuple(key, value, headers, timestamp).map(([one, two, three, four]) => ({
    native: { key: one.value, value: two.value, headers: three.value, timestamp: four.value },
    kinds: [one, two, three, four].flatMap(({ kinds }) => kinds),
  })),
  async write(topic, natives) {
    // A partition for each: a record's partition is whatever its producer chose.
    for (let partition = 0; partition < PARTITIONS; partition += 1) {
      const own = natives.filter((_, index) => index % PARTITIONS === partition)
      for (let from = 0; from < own.length; from += 20) await produceRaw(topic, partition, own.slice(from, from + 20))
    }
  },
  canonical(native) {
    const record = native as ReceivedRecord
    return canonical({
      ...record,
      timestamp: record.time,
      key: record.key,
      value: record.value,
      headers: headersOf(record),
    })
  },
  written: canonical,
})

function headersOf({ source, headersAt }: ReceivedRecord): RawHeader[] {
  const reader = new ByteReader(source, headersAt)
  return Array.from({ length: reader.varint() }, () => [
    reader.nullableBytes() ?? Buffer.alloc(0),
    reader.nullableBytes(),
  ])
}

function canonical({ key, value, headers, timestamp }: RawRecord): string {
  const hex = (bytes: Buffer | null): string | null => bytes?.toString('hex') ?? null
  const own = headers.filter(([name]) => !name.toString().startsWith('streamswitch-'))
  return JSON.stringify([hex(key), hex(value), own.map(([name, bytes]) => [hex(name), hex(bytes)]), timestamp])
}
