import { AmqpReader, readDescriptor } from '@streamswitch/core/driver'
import { headerNames, headerTexts, nonTextBytes, passesForeignMessages, someBytes } from '@streamswitch/testkit/foreign'
import fc, { type Arbitrary } from 'fast-check'
import type { NativeMessage } from '../src/native-message.js'
import { binary, hex, list, map, namedSection, section, symbol, text } from './support/amqp-bytes.js'
import { openStream } from './support/bench.js'
import { publishRaw } from './support/raw-publisher.js'

interface Odd<T> {
  readonly kinds: readonly string[]
  readonly value: T
}

const odd = <T>(kind: string | undefined, arbitrary: Arbitrary<T>): Arbitrary<Odd<T>> =>
  arbitrary.map((value) => ({ kinds: kind === undefined ? [] : [kind], value }))

const fixed = (code: number, bytes: number): Arbitrary<Buffer> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((value) => Buffer.from([code, ...value]))
const number = fc.oneof(
  fixed(0x50, 1),
  fixed(0x51, 1),
  fixed(0x52, 1),
  fixed(0x55, 1),
  fixed(0x60, 2),
  fixed(0x61, 2),
  fixed(0x70, 4),
  fixed(0x71, 4),
  fixed(0x80, 8),
  fixed(0x81, 8),
  fixed(0x72, 4),
  fixed(0x82, 8),
)
const other = fc.oneof(
  fc.constantFrom('40', '41', '42', '43', '44', '5601').map(hex),
  fixed(0x83, 8),
  fixed(0x98, 16),
  fixed(0x74, 4),
  fixed(0x94, 16),
  fc.constant(hex('730001f600')),
)
const someText = fc.oneof(headerTexts().map(text), headerNames().map(symbol))
const bytes = fc.oneof(nonTextBytes(40), someBytes(300)).map(binary)
const scalar = fc.oneof(number, other, someText, bytes)
const nested = fc.oneof(
  fc.array(scalar, { maxLength: 3 }).map(list),
  fc.array(fc.tuple(someText, scalar), { maxLength: 2 }).map(map),
  fc.constantFrom('e00402500102', 'e0020341', '45', 'e00702005305500102').map(hex),
  // A value with a descriptor of its own.
  scalar.map((value) => Buffer.concat([hex('00'), symbol('com.example:type'), value])),
)

type Pair = readonly [Buffer, Buffer]
const named = (value: Arbitrary<Buffer>): Arbitrary<Pair> =>
  fc.tuple(headerNames(), value).map(([name, one]): Pair => [text(name), one])
const header = (name: string, value: Buffer): Pair => [text(name), value]
const reserved = fc.oneof(
  fc.constantFrom('abc', '', '-1', '9'.repeat(40)).map((time) => header('streamswitch-timestamp', text(time))),
  fc.constantFrom('streamswitch:1:x:y#z', 'erp.answers', '').map((to) => header('streamswitch-reply-to', text(to))),
  bytes.map((value) => header('streamswitch-other', value)),
)
const key = fc.oneof(
  odd(undefined, fc.constant<readonly Pair[]>([])),
  odd(
    'text key',
    headerTexts().map((value) => [header('streamswitch-key', text(value))]),
  ),
  odd(
    'binary key',
    nonTextBytes(12).map((value) => [header('streamswitch-key', binary(value))]),
  ),
  odd(
    'key of another type',
    fc.oneof(number, fixed(0x98, 16)).map((value) => [header('streamswitch-key', value)]),
  ),
  odd(
    'long key',
    fc.integer({ min: 1_025, max: 2_000 }).map((size) => [header('streamswitch-key', binary(Buffer.alloc(size, 'k')))]),
  ),
)
const headers = fc.oneof(
  odd(undefined, fc.array(named(someText), { maxLength: 3 })),
  odd('number', fc.array(named(number), { minLength: 1, maxLength: 3 })),
  odd('other type', fc.tuple(named(other), named(someText))),
  odd('bytes', fc.tuple(named(bytes), named(someText))),
  odd('list, map, array, described value', fc.tuple(named(nested), named(someText))),
  odd('reserved header', fc.tuple(reserved, named(someText))),
  odd(
    'header name that can not be sent',
    fc
      .tuple(fc.oneof(number, bytes, fc.constantFrom('', 'a\u0000b', 'n'.repeat(300)).map(text)), scalar)
      .map((one) => [one as Pair]),
  ),
)
const perhapsLarge = fc.oneof(
  { weight: 4, arbitrary: odd(undefined, fc.constant<readonly Pair[]>([])) },
  {
    weight: 1,
    arbitrary: odd(
      'headers beyond the limits',
      fc.integer({ min: 33_000, max: 40_000 }).map((size) => [header('large', text('x'.repeat(size)))]),
    ),
  },
)

const absent = fc.constant(hex('40'))
const id = fc.oneof(
  odd(undefined, absent),
  odd('text id', fc.constantFrom('order-7', '', 'i'.repeat(300), 'a\r\nb').map(text)),
  odd('id of another type', fc.oneof(fixed(0x80, 8), fixed(0x98, 16), fixed(0x53, 1), nonTextBytes(12).map(binary))),
)
const time = fc.oneof(
  odd(undefined, absent),
  odd(
    'time',
    fc.bigInt({ min: 1_600_000_000_000n, max: 1_700_000_000_000n }).map((value) => timestamp(value)),
  ),
  odd(
    'extreme time',
    fc
      .constantFrom(
        0n,
        -1n,
        1_767_225_600n,
        1_767_225_600_000_000n,
        1_767_225_600_000_000_000n,
        2n ** 63n - 1n,
        -(2n ** 63n),
      )
      .map(timestamp),
  ),
)
const properties = fc
  .tuple(id, time, fc.array(fc.oneof(absent, someText), { minLength: 6, maxLength: 6 }), fc.boolean())
  .map(([one, two, texts, isShort]) => {
    // user-id, to, subject, reply-to, correlation-id, content-type, content-encoding, absolute-expiry-time
    const [to, subject, replyTo, correlationId, contentType, group] = texts as [
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
      Buffer,
    ]
    const fields = [
      one.value,
      hex('a00201ff'),
      to,
      subject,
      replyTo,
      correlationId,
      contentType,
      hex('40'),
      hex('40'),
      two.value,
    ]
    return {
      kinds: [...one.kinds, ...two.kinds, ...(isShort ? [] : ['group of a message'])],
      value: section(0x73, list(isShort ? fields : [...fields, group])),
    }
  })
const before = fc.oneof(
  odd(undefined, fc.constant<readonly Buffer[]>([])),
  odd('header section', fc.constant([section(0x70, list([hex('41'), hex('5004')]))])),
  odd(
    'annotations',
    named(scalar).map(([, value]) => [section(0x72, map([[symbol('x-note'), value]]))]),
  ),
  odd('delivery annotations', fc.constant([section(0x71, map([[symbol('x-opt-a'), hex('41')]]))])),
)
const body = fc.oneof(
  odd(
    undefined,
    someBytes(300).map((value) => [section(0x75, binary(value))]),
  ),
  odd(
    'several data sections',
    fc.tuple(someBytes(20), nonTextBytes(20)).map((two) => two.map((value) => section(0x75, binary(value)))),
  ),
  odd(
    'sequences',
    fc
      .array(fc.array(scalar, { maxLength: 3 }), { minLength: 1, maxLength: 3 })
      .map((all) => all.map((values) => section(0x76, list(values)))),
  ),
  odd(
    'value',
    fc.oneof(scalar, nested).map((value) => [section(0x77, value)]),
  ),
  odd('no body', fc.constant<readonly Buffer[]>([])),
  odd(
    'descriptor that is a name',
    someBytes(20).map((value) => [namedSection('amqp:data:binary', binary(value))]),
  ),
)
const footer = fc.oneof(
  { weight: 3, arbitrary: odd(undefined, fc.constant<readonly Buffer[]>([])) },
  { weight: 1, arbitrary: odd('footer', fc.constant([section(0x78, map([[symbol('x-crc'), hex('5007')]]))])) },
)

passesForeignMessages<Buffer>({
  open: () => openStream(),
  kinds: [
    'text key',
    'binary key',
    'key of another type',
    'long key',
    'number',
    'other type',
    'bytes',
    'list, map, array, described value',
    'reserved header',
    'header name that can not be sent',
    'headers beyond the limits',
    'text id',
    'id of another type',
    'time',
    'extreme time',
    'group of a message',
    'header section',
    'annotations',
    'delivery annotations',
    'several data sections',
    'sequences',
    'value',
    'no body',
    'descriptor that is a name',
    'footer',
  ],
  arbitrary: fc
    .tuple(before, properties, key, fc.array(headers, { minLength: 2, maxLength: 4 }), perhapsLarge, body, footer)
    .map(([one, two, three, four, five, six, seven]) => {
      const pairs = [three, ...four, five].flatMap(({ value }) => [...value])
      const sections = [...one.value, two.value, section(0x74, map(pairs)), ...six.value, ...seven.value]
      return {
        native: Buffer.concat(sections),
        kinds: [one, two, three, ...four, five, six, seven].flatMap(({ kinds }) => kinds),
      }
    }),
  write: publishRaw,
  canonical: (native) => canonical((native as NativeMessage).bytes),
  written: canonical,
})

/** All sections in their bytes, and those of each application property that isn't ours. */
function canonical(bytes: Buffer): string {
  const reader = new AmqpReader(bytes)
  const sections: unknown[] = []
  while (reader.at < bytes.length) {
    const start = reader.at
    if (readDescriptor(reader) === 0x74) sections.push(pairsIn(reader))
    else {
      reader.skip()
      sections.push(bytes.toString('hex', start, reader.at))
    }
  }
  return JSON.stringify(sections)
}

function pairsIn(reader: AmqpReader): string[] {
  const pairs: string[] = []
  let keyPair = ''
  for (let count = reader.compound(); count > 1; count -= 2) {
    const start = reader.at
    const name = String(reader.value())
    reader.skip()
    const pair = reader.bytes.toString('hex', start, reader.at)
    if (name === 'streamswitch-key') keyPair = pair
    else if (!name.startsWith('streamswitch-')) pairs.push(pair)
  }
  return [keyPair, ...pairs]
}

function timestamp(value: bigint): Buffer {
  const bytesOfTime = Buffer.alloc(9, 0x83)
  bytesOfTime.writeBigInt64BE(value, 1)
  return bytesOfTime
}
