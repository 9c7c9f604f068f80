import type { OutgoingRecord } from '@streamswitch/core/driver'
import type { ConsumeMessage, MessageProperties } from 'amqplib'
import { expect, test } from 'vitest'
import { bodyOf, propertiesOf, toDelivery } from '../src/message.js'

const assignment = { topic: 'orders', partition: 3, epoch: 17 }

function record(fields: Partial<OutgoingRecord>): OutgoingRecord {
  return {
    id: 'id-1',
    key: undefined,
    payload: Buffer.from('{}'),
    headers: undefined,
    timestamp: 1_767_225_600_123,
    partition: undefined,
    sequence: undefined,
    size: 2,
    resends: 0,
    ...fields,
  }
}

function received(
  properties: Partial<MessageProperties>,
  fields: Partial<ConsumeMessage['fields']> = {},
  content: Buffer = Buffer.from('{}'),
): ConsumeMessage {
  return {
    content,
    fields: { deliveryTag: 5, redelivered: false, exchange: 'orders', routingKey: '3', consumerTag: 'c', ...fields },
    properties: properties as MessageProperties,
  }
}

function roundTrip(sent: OutgoingRecord) {
  const { messageId, headers, timestamp } = propertiesOf(sent, undefined)
  return toDelivery(
    received({ messageId, headers: headers as Record<string, unknown>, timestamp }, {}, bodyOf(sent)),
    assignment,
    undefined,
  )
}

test('a record has its value as the body and everything else in properties and headers', () => {
  const properties = propertiesOf(record({ key: 'customer-42', headers: { tenant: 'acme' } }), 'application/json')
  expect(properties).toEqual({
    persistent: true,
    mandatory: true,
    messageId: 'id-1',
    timestamp: 1_767_225_600,
    contentType: 'application/json',
    headers: { 'streamswitch-timestamp': '1767225600123', 'streamswitch-key': 'customer-42', tenant: 'acme' },
  })
})

test('a tombstone is told from empty bytes', () => {
  expect(roundTrip(record({ payload: undefined })).bytes).toBeUndefined()
  expect(roundTrip(record({ payload: Buffer.alloc(0) })).bytes?.length).toBe(0)
})

test('headers that the broker acts upon, or that have no room, arrive as they were sent', () => {
  const headers = Object.fromEntries([
    ['CC', 'a'],
    ['BCC', 'b'],
    ['x-delivery-count', '7'],
    ['é'.repeat(200), 'long'],
    ['plain', 'c'],
    ['__proto__', 'd'],
  ])
  const delivery = roundTrip(record({ headers }))
  expect(Object.entries(delivery.headers).sort()).toEqual(Object.entries(headers).sort())
})

test('an id that is no short string travels as a header', () => {
  const id = 'é'.repeat(128)
  expect(propertiesOf(record({ id }), undefined)).not.toHaveProperty('messageId')
  expect(roundTrip(record({ id })).id).toBe(id)
  expect(roundTrip(record({ id })).headers).toEqual({})
})

test('a foreign message needs none of our headers', () => {
  const before = Date.now()
  const delivery = toDelivery(received({}, { routingKey: 'customer-42' }), assignment, undefined)
  expect(delivery).toMatchObject({ key: 'customer-42', headers: {}, attempt: 0, suspect: false, offset: '5' })
  expect(delivery.timestamp).toBeGreaterThanOrEqual(before)
  const other = toDelivery(received({}, { routingKey: 'customer-42' }), { ...assignment, epoch: 18 }, undefined)
  expect(other.id, 'delivery tags begin anew on each channel').not.toBe(delivery.id)
})

test('a foreign routing key is no key where it is a partition or a queue', () => {
  const keyOf = (fields: Partial<ConsumeMessage['fields']>) =>
    toDelivery(received({}, fields), assignment, undefined).key
  expect(keyOf({ routingKey: '3' })).toBeUndefined()
  expect(keyOf({ routingKey: '' })).toBeUndefined()
  expect(keyOf({ routingKey: 'orders:billing:3', exchange: '' })).toBeUndefined()
})

test('foreign headers that are no texts become texts, or stay in native', () => {
  const headers = { number: 7, yes: true, list: ['a'], bytes: Buffer.from('b'), table: { a: 1 }, 'x-delivery-count': 2 }
  const delivery = toDelivery(received({ headers, timestamp: 1_767_225_600 }), assignment, undefined)
  expect(delivery.headers).toEqual({ number: '7', yes: 'true' })
  expect(delivery.timestamp).toBe(1_767_225_600_000)
  expect((delivery.native as ConsumeMessage).properties.headers).toBe(headers)
})
