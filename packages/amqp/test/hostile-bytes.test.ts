import type { OutgoingRecord } from '@streamswitch/core/driver'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bodyOf, propertiesOf, toDelivery } from '../src/message.js'

const assignment = { topic: 'orders', partition: 0, epoch: 1 }
const fields = { routingKey: '0', exchange: 'orders', deliveryTag: 1, consumerTag: 'c', redelivered: false }
const text = fc.string({ unit: 'grapheme' })
const name = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'CC', 'BCC', 'x-delivery-count', 'streamswitch-headers'),
  text,
)

test('a record comes back from its properties', () => {
  const record = fc.record({
    id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 200 }),
    key: fc.option(text, { nil: undefined }),
    payload: fc.option(
      fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      { nil: undefined },
    ),
    headers: fc.option(
      fc.dictionary(
        name.filter((one) => one !== '' && !one.startsWith('streamswitch-')),
        text,
      ),
      { nil: undefined },
    ),
    timestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
  })
  fc.assert(
    fc.property(record, (sent) => {
      const properties = propertiesOf(sent as OutgoingRecord, 'application/json')
      const native = { fields, properties, content: bodyOf(sent as OutgoingRecord) }
      const delivery = toDelivery(native as never, assignment, undefined)
      expect(delivery).toMatchObject({ id: sent.id, key: sent.key, timestamp: sent.timestamp })
      expect(delivery.bytes?.toString('hex')).toBe(sent.payload?.toString('hex'))
      expect(Object.entries(delivery.headers).sort()).toEqual(Object.entries(sent.headers ?? {}).sort())
    }),
  )
})

test('a foreign message, whatever its properties are, becomes a delivery of texts', () => {
  const value = fc.anything({ withBigInt: true, withTypedArray: true })
  const properties = fc.record({
    headers: fc.oneof(fc.dictionary(name, value), fc.constant(undefined)),
    messageId: value,
    timestamp: value,
    replyTo: value,
  })
  fc.assert(
    fc.property(properties, fc.uint8Array(), (given, bytes) => {
      const delivery = toDelivery(
        { fields, properties: given, content: Buffer.from(bytes) } as never,
        assignment,
        undefined,
      )
      for (const one of Object.values(delivery.headers)) expect(typeof one).toBe('string')
      expect(typeof delivery.id).toBe('string')
      expect(Number.isNaN(delivery.timestamp)).toBe(false)
    }),
  )
})
