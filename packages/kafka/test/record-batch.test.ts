import { createRequire } from 'node:module'
import type { OutgoingRecord } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { crc32c } from '../src/crc32c.js'
import type { ProduceParameters, RequestDefinition } from '../src/kafkajs-internals.js'
import { produceRequest } from '../src/produce-request.js'
import { encodeRecords, NativeRecord } from '../src/record-batch.js'

/** kafkajs's own way of encoding the request that {@link produceRequest} makes. */
const kafkajsRequest = createRequire(import.meta.url)('kafkajs/src/protocol/requests/produce/v7/request.js') as (
  parameters: unknown,
) => RequestDefinition

const NOW = 1_767_225_600_000

function record(fields: Partial<OutgoingRecord> = {}): OutgoingRecord {
  return {
    id: 'id-1',
    key: undefined,
    payload: Buffer.from('value'),
    headers: undefined,
    timestamp: NOW,
    partition: undefined,
    sequence: undefined,
    size: 0,
    resends: 0,
    ...fields,
  }
}

const ODD: readonly OutgoingRecord[] = [
  record(),
  record({ key: '', payload: Buffer.alloc(0), timestamp: NOW + 1 }),
  record({ key: 'ключ 🔑', payload: undefined, timestamp: NOW + 2 }),
  record({ key: 'k'.repeat(64), headers: { a: 'ü', '': '', long: 'x'.repeat(300) }, timestamp: NOW + 200 }),
  record({ id: 'i'.repeat(256), payload: Buffer.alloc(100_000, 7), timestamp: NOW + 1_000_000 }),
  record({ payload: Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), timestamp: NOW + 1_500_000 }),
  ...Array.from({ length: 300 }, (_, index) => record({ id: `many-${index}`, timestamp: NOW + 2_000_000 })),
]

/** The same records as kafkajs takes them. */
function plain({ id, key, payload, headers, timestamp }: OutgoingRecord): object {
  return {
    key: key ?? null,
    value: payload ?? null,
    timestamp: String(timestamp),
    headers: { ...headers, 'streamswitch-id': id },
  }
}

function parameters(messages: readonly object[], more: Partial<ProduceParameters> = {}): ProduceParameters {
  return {
    acks: -1,
    timeout: 10_000,
    topicData: [{ topic: 'orders', partitions: [{ partition: 3, firstSequence: 41, messages }] }],
    ...more,
  }
}

describe('a Produce request', () => {
  it.each([
    ['without idempotence', {}],
    ['with idempotence', { producerId: '1234567890123', producerEpoch: 2 }],
    ['compressed', { compression: 1 }],
  ])('%s is what kafkajs makes of the same records, byte for byte', async (_title, more) => {
    const ours = await produceRequest(
      parameters(
        ODD.map((one) => new NativeRecord(one, 3, NOW)),
        more,
      ),
    ).encode()
    const theirs = await kafkajsRequest(parameters(ODD.map(plain), more)).encode()
    expect(ours.buffer.equals(theirs.buffer)).toBe(true)
  })

  it('has the record that the wire format shows', () => {
    const shown = record({
      id: 'order-7',
      key: 'customer-42',
      payload: Buffer.from('{"id":7,"total":19.9}'),
      headers: { tenant: 'acme', note: 'Grüße' },
    })
    expect(encodeRecords([new NativeRecord(shown, 0, NOW)], NOW).toString('hex')).toBe(
      [
        'ae01000000',
        '16637573746f6d65722d3432',
        '2a7b226964223a372c22746f74616c223a31392e397d',
        '06',
        '0c74656e616e74',
        '0861636d65',
        '086e6f7465',
        '0e4772c3bcc39f65',
        '1e73747265616d7377697463682d6964',
        '0e6f726465722d37',
      ].join(''),
    )
  })

  it('holds times far before the first one of its batch, and keeps those that brokers refuse in a header', () => {
    const old = new NativeRecord(record({ timestamp: 1 }), 0, NOW)
    expect(old).toMatchObject({ timestamp: 1, laterTime: undefined })
    // Zigzag of 1 - NOW, seven bits at a time.
    expect(encodeRecords([old], NOW).subarray(2, 8).toString('hex')).toBe('fd9fd5edee66')
    const far = new NativeRecord(record({ timestamp: NOW + 3_600_000 }), 0, NOW)
    expect(far).toMatchObject({ timestamp: NOW, laterTime: String(NOW + 3_600_000) })
  })
})

describe('crc32c', () => {
  // RFC 3720, B.4, and the check value of the algorithm's catalogue entry.
  it.each([
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(32), 0x8a9136aa],
    [Buffer.alloc(32, 0xff), 0x62a8ab43],
    [Buffer.from(Array.from({ length: 32 }, (_, index) => index)), 0x46dd794e],
    [Buffer.alloc(0), 0],
  ])('of %o', (data, expected) => {
    expect(crc32c(data)).toBe(expected)
  })

  it('begins where it is told to', () => {
    expect(crc32c(Buffer.from('skipped123456789'), 7)).toBe(0xe3069283)
  })
})

describe('the time of a record', () => {
  const now = 1_767_225_600_000
  const stamped = (timestamp: number): readonly [number, string | undefined] => {
    const record = { id: 'i', key: undefined, payload: undefined, headers: undefined, timestamp }
    const native = new NativeRecord(record as OutgoingRecord, 0, now)
    return [native.timestamp, native.laterTime]
  }

  it.each([
    [now, [now, undefined]],
    [0, [0, undefined]],
    [-1, [0, undefined]],
    [-8_640_000_000_000_000, [0, undefined]],
    [Number.NEGATIVE_INFINITY, [0, undefined]],
    [now + 0.7, [now, undefined]],
    [now + 3_600_000, [now, String(now + 3_600_000)]],
    [Number.POSITIVE_INFINITY, [now, undefined]],
    [1e300, [now, undefined]],
    [Number.NaN, [now, undefined]],
  ])('%s is what the wire can hold', (timestamp, expected) => {
    expect(stamped(timestamp)).toEqual(expected)
  })
})
