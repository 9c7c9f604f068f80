import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { isStreamError } from '@streamswitch/core'
import { type FuzzTarget, forwardedRecord, transportSettings, Violation } from '@streamswitch/testkit/fuzz'
import type { ChannelModel, ConsumeMessage } from 'amqplib'
import fc from 'fast-check'
import { parseStoredState } from '../../src/attempt-store.js'
import { ContentHeader, plainValue } from '../../src/content-header.js'
import { deathOf } from '../../src/dropped-message.js'
import { parseOffset } from '../../src/dropped-watch.js'
import { keepExactBytes } from '../../src/exact-frames.js'
import amqp from '../../src/index.js'
import { replyOf, toDelivery } from '../../src/message.js'
import { AMQP_FORM } from '../../src/native-form.js'
import { parseNotice } from '../../src/notice.js'
import { encodeOriginal } from '../../src/original-properties.js'
import { parsePartitionCount } from '../../src/partition-count.js'
import { parseChange } from '../../src/topic-registry.js'
import { contentHeaders } from './content-headers.js'

const require = createRequire(import.meta.url)
/** amqplib's class, which its package doesn't export. */
const { Connection } = require(join(dirname(require.resolve('amqplib')), 'lib/connection.js')) as {
  readonly Connection: { readonly prototype: object }
}

const ASSIGNMENT = { topic: 'orders', partition: 0, epoch: 1 }
const FIELDS = { consumerTag: 'c', deliveryTag: 1, redelivered: false, exchange: 'orders', routingKey: '0' }
const MAX_FRAME_BYTES = 131_072

interface Frame {
  readonly size?: number
  readonly fields?: ConsumeMessage['properties']
}

/** A connection as amqplib has it, of which only the reading of frames is used. */
function readFrames(bytes: Buffer): Frame[] {
  const incoming = [bytes]
  const connection = Object.assign(Object.create(Connection.prototype) as { recvFrame(): Frame | false }, {
    rest: Buffer.alloc(0),
    stream: { read: () => incoming.shift() ?? null },
    maxFrameSize: MAX_FRAME_BYTES,
    channels: [],
  })
  keepExactBytes({ connection } as unknown as ChannelModel)
  const frames: Frame[] = []
  for (let frame = connection.recvFrame(); frame !== false; frame = connection.recvFrame()) frames.push(frame)
  return frames
}

function readMessage(properties: ConsumeMessage['properties']): unknown {
  const message = { fields: FIELDS, properties, content: Buffer.from('{"a":1}') }
  const delivery = toDelivery(message, ASSIGNMENT, undefined)
  const { id, key, headers, timestamp, replyTo } = delivery
  const lost = AMQP_FORM.beyondPortable(message)
  const original = { native: message, part: 'message' as const }
  const record = forwardedRecord(delivery)
  const passedOn = encodeOriginal(record, original, { headers: { ...headers } }, true)
  return { id, key, headers, timestamp, replyTo, lost, passedOn, death: deathOf(message), reply: replyOf(message) }
}

/** The properties of a message in the frame that brings them: class, weight, size of the body. */
function headerFrame(properties: Buffer): Buffer {
  const head = Buffer.alloc(7 + 12)
  head[0] = 2
  head.writeUInt16BE(1, 1)
  head.writeUInt32BE(12 + properties.length, 3)
  head.writeUInt16BE(60, 7)
  head.writeBigUInt64BE(7n, 11)
  return Buffer.concat([head, properties, Buffer.of(0xce)])
}

function readHeader(bytes: Buffer): unknown {
  const header = ContentHeader.read(bytes)
  const again = ContentHeader.read(header.encode())
  if (!again.encode().equals(header.encode())) throw new Violation('it is written in another way than it is read')
  return [header, (header.headers ?? []).map(({ value }) => plainValue(value))]
}

const jsonText = (shape: fc.Arbitrary<unknown>): fc.Arbitrary<Uint8Array> =>
  fc.oneof(shape, fc.jsonValue()).map((value) => Buffer.from(JSON.stringify(value) ?? ''))
const anything = fc.oneof(fc.jsonValue(), fc.constantFrom(1, 1.5, -1, 2 ** 53, null, [], {}))
const isStreamErrorOf =
  (...codes: readonly string[]) =>
  (error: unknown): boolean =>
    isStreamError(error) && codes.includes(error.code)
const JSON_TOKENS = [
  'null',
  '[]',
  '{}',
  '"format":1',
  '"format":2',
  '"partitions":',
  '1e999',
  '-1',
  '__proto__',
  '"attempts":',
  '"returned":',
  '"offset":',
]
const messageOf = (content: Buffer): ConsumeMessage =>
  ({ fields: FIELDS, properties: {}, content }) as unknown as ConsumeMessage
const SPEC = {
  topic: 'orders',
  brokerTopic: 'orders',
  derivedName: 'orders',
  origin: 'orders',
  native: false,
  prefixed: true,
  partitions: undefined,
  retention: {},
  provision: 'create',
  role: 'topic',
} as const

/** Damage: what the reader of headers documents, and whatever amqplib's own decoders throw, which ends the connection and nothing else. */
function isDamage(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error instanceof RangeError || /\/amqplib\//.test(/\n\s+at [^\n]*/.exec(error.stack ?? '')?.[0] ?? '')
}

export const TARGETS: readonly FuzzTarget[] = [
  {
    name: 'frames',
    decode: (bytes) =>
      readFrames(bytes).map(({ size, fields }) =>
        size === undefined || fields === undefined ? fields : readMessage(fields),
      ),
    declares: isDamage,
    dictionary: [
      Buffer.of(0xce),
      Buffer.from('0200010000000c', 'hex'),
      'streamswitch-headers',
      'x-death',
      '[["a","b"]]',
    ],
  },
  {
    name: 'message-properties',
    decode: (bytes) =>
      readFrames(headerFrame(bytes)).map(({ size, fields }) =>
        size === undefined || fields === undefined ? fields : readMessage(fields),
      ),
    declares: isDamage,
    dictionary: [
      'streamswitch-headers',
      'streamswitch-key',
      'streamswitch-set-aside',
      'x-death',
      '[["a","b"]]',
      '__proto__',
      Buffer.from('f2000000', 'hex'),
    ],
    inputs: contentHeaders,
  },
  {
    name: 'content-header',
    decode: readHeader,
    declares: (error) => error instanceof RangeError,
    inputs: contentHeaders,
  },
  {
    name: 'partition-count',
    decode: (bytes) => parsePartitionCount(messageOf(bytes), SPEC),
    declares: isStreamErrorOf('CONFLICT'),
    dictionary: JSON_TOKENS,
    inputs: jsonText(fc.record({ format: anything, partitions: anything })),
  },
  {
    name: 'attempt-state',
    decode: (bytes) => parseStoredState(bytes, 'orders'),
    declares: isStreamErrorOf('CONFLICT'),
    dictionary: JSON_TOKENS,
    inputs: jsonText(fc.record({ format: anything, attempts: anything, returned: anything }, { requiredKeys: [] })),
  },
  {
    name: 'members-and-topics',
    decode: (bytes) => [parseNotice(bytes), parseChange(messageOf(bytes)), parseOffset(bytes)],
    declares: () => false,
    dictionary: JSON_TOKENS,
    inputs: jsonText(
      fc.record({
        format: fc.constant(1),
        type: fc.constantFrom('hello', 'here'),
        instance: fc.constant('i'),
        owns: anything,
        unacked: anything,
        topic: anything,
        group: anything,
        partitions: anything,
        offset: anything,
      }),
    ),
  },
  transportSettings(amqp, ['AMQP_URL', 'AMQP_BINDINGS', 'AMQP_QUEUES', 'AMQP_VHOST', 'STREAMSWITCH_TOPIC_NAMES']),
]
