import type { OutgoingRecord } from '@streamswitch/core/driver'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { toDelivery } from '../src/message.js'
import { NativeMessage } from '../src/native-message.js'
import { encodeRecord, maxEncodedBytes } from '../src/record-encoding.js'

const assignment = { topic: 'orders', partition: 0, epoch: 1 }
const text = fc.string({ unit: 'grapheme' })
const record = fc.record({
  id: fc.string({ unit: 'grapheme', minLength: 1 }),
  key: fc.option(text, { nil: undefined }),
  payload: fc.option(
    fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
  headers: fc.option(
    fc.dictionary(
      fc.oneof(fc.constantFrom('__proto__', 'constructor'), fc.string({ unit: 'grapheme', minLength: 1 })),
      text,
    ),
    {
      nil: undefined,
    },
  ),
  timestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
})

function encoded(one: object): Buffer {
  const target = Buffer.alloc(maxEncodedBytes(one as OutgoingRecord))
  return target.subarray(0, encodeRecord(target, 0, one as OutgoingRecord))
}

test('a record comes back from its bytes, which are no more than were planned', () => {
  fc.assert(
    fc.property(record, (sent) => {
      const delivery = toDelivery(assignment, new NativeMessage('orders', 7, 5, encoded(sent)), {})
      expect(delivery).toMatchObject({ id: sent.id, key: sent.key, timestamp: sent.timestamp })
      expect(delivery.bytes?.toString('hex')).toBe(sent.payload?.toString('hex'))
      expect(Object.entries(delivery.headers)).toEqual(Object.entries(sent.headers ?? {}))
    }),
  )
})

test('any bytes become a delivery: those of a message that was cut or changed, and those of none', () => {
  const random = fc.uint8Array({ maxLength: 80 }).map((bytes) => Buffer.from(bytes))
  const damaged = fc.tuple(record, fc.nat(), fc.nat(255), fc.nat()).map(([one, at, value, end]) => {
    const bytes = Buffer.from(encoded(one))
    bytes[at % bytes.length] = value
    return bytes.subarray(0, 1 + (end % bytes.length))
  })
  fc.assert(
    fc.property(fc.oneof(random, damaged), (bytes) => {
      const delivery = toDelivery(assignment, new NativeMessage('orders', 7, 5, bytes), {})
      for (const value of Object.values(delivery.headers)) expect(typeof value).toBe('string')
      expect(typeof delivery.id).toBe('string')
      expect(Number.isNaN(delivery.timestamp)).toBe(false)
    }),
    { numRuns: 2_000 },
  )
})
