import type { OutgoingRecord } from '@streamswitch/core/driver'
import { describe, expect, test } from 'vitest'
import { toDelivery } from '../src/message.js'
import { NativeMessage } from '../src/native-message.js'
import { encodePublish } from '../src/publish-frame.js'
import { encodeRecord, maxEncodedBytes } from '../src/record-encoding.js'

const RECORD: OutgoingRecord = {
  id: 'order-7',
  key: 'customer-42',
  payload: Buffer.from('{"id":7}'),
  headers: { tenant: 'acme', note: 'Grüße', empty: '' },
  timestamp: 1_767_225_600_000,
  partition: undefined,
  sequence: undefined,
  size: 0,
  resends: 0,
}

function encode(record: OutgoingRecord): Buffer {
  const target = Buffer.alloc(maxEncodedBytes(record))
  return target.subarray(0, encodeRecord(target, 0, record))
}

function decode(bytes: Buffer) {
  return toDelivery({ topic: 'orders', partition: 0, epoch: 1 }, new NativeMessage('orders', 5, 1_234, bytes), {})
}

const hex = (text: string): string => Buffer.from(text).toString('hex')
const str = (text: string): string => `a1${Buffer.byteLength(text).toString(16).padStart(2, '0')}${hex(text)}`

describe('the wire', () => {
  test('a date that the field or a reader can not hold is the nearest one that they can', () => {
    const written = (timestamp: number): number => decode(encode({ ...RECORD, timestamp })).timestamp
    expect([-1, -1e300, 1.5, 1e300, Number.POSITIVE_INFINITY].map(written)).toEqual([0, 0, 1, 8.64e15, 8.64e15])
  })

  test('a record that can not be encoded is left out of its frame, the others are in it', () => {
    const broken = {
      ...RECORD,
      get id(): string {
        throw new Error('no id')
      },
    }
    const settings = { publisherId: 1, frameMaxBytes: 1_048_576 }
    const { frames, unsent } = encodePublish([RECORD, broken, RECORD], settings, (index) => BigInt(index))
    expect(unsent).toEqual([{ index: 1, cause: new Error('no id') }])
    expect(frames.equals(encodePublish([RECORD, RECORD], settings, (index) => BigInt(2 * index)).frames)).toBe(true)
  })

  test('properties, application properties and one data section, byte for byte', () => {
    const entries = ['streamswitch-key', 'customer-42', 'tenant', 'acme', 'note', 'Grüße', 'empty', '']
      .map(str)
      .join('')
    const size = (4 + entries.length / 2).toString(16).padStart(8, '0')
    const expected = [
      `005373d00000001e0000000a${str('order-7')}${'40'.repeat(8)}830000019b76daa800`,
      `005374d1${size}00000008${entries}`,
      `005375a008${hex('{"id":7}')}`,
    ]
    expect(encode(RECORD).toString('hex')).toBe(expected.join(''))
  })

  test('what was written is read', () => {
    const { key, headers, timestamp, payload } = RECORD
    expect(decode(encode(RECORD))).toMatchObject({
      id: 'order-7',
      key,
      headers,
      timestamp,
      bytes: payload,
      position: 5,
    })
    const long = {
      ...RECORD,
      id: 'i'.repeat(256),
      key: 'é'.repeat(500),
      headers: { ['n'.repeat(200)]: '🦉'.repeat(1_000) },
    }
    expect(decode(encode(long))).toMatchObject({ id: long.id, key: long.key, headers: long.headers })
  })

  test('a tombstone, empty bytes and no key', () => {
    const bare = { ...RECORD, key: undefined, headers: undefined }
    expect(decode(encode({ ...bare, payload: undefined }))).toMatchObject({
      bytes: undefined,
      key: undefined,
      headers: {},
    })
    expect(decode(encode({ ...bare, payload: Buffer.alloc(0) })).bytes).toEqual(Buffer.alloc(0))
  })

  test('several data sections are one body; an AMQP value is a body; nothing said has defaults', () => {
    expect(decode(Buffer.from('005375a00161005375a00162', 'hex'))).toMatchObject({
      bytes: Buffer.from('ab'),
      timestamp: 1_234,
      id: 'orders/0/5',
    })
    expect(decode(Buffer.from(`005377${str('text')}`, 'hex')).bytes?.toString()).toBe('text')
    expect(decode(Buffer.alloc(0))).toMatchObject({ bytes: Buffer.alloc(0), key: undefined })
  })

  test('what is no AMQP 1.0 arrives as it is', () => {
    const bytes = Buffer.from('no AMQP at all')
    expect(decode(bytes).bytes).toEqual(bytes)
  })

  test('a header called __proto__ is a header', () => {
    const headers = JSON.parse('{"__proto__":"x"}') as Record<string, string>
    expect(Object.entries(decode(encode({ ...RECORD, headers })).headers)).toEqual([['__proto__', 'x']])
  })
})
