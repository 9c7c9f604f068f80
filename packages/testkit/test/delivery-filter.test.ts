import { expect, test } from 'vitest'
import { DeliveryFilter } from '../src/faults/delivery-filter.js'

const NOTHING = Buffer.alloc(0)

/** A frame with its length before it. */
function sized(...content: Buffer[]): Buffer {
  const all = Buffer.concat(content)
  const length = Buffer.alloc(4)
  length.writeInt32BE(all.length)
  return Buffer.concat([length, all])
}

function stream(key: number, ...content: number[]): Buffer {
  return sized(Buffer.from([0, key, 0, 1, ...content]))
}

function amqp(type: number, channel: number, content: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head.writeUInt8(type)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(content.length, 3)
  return Buffer.concat([head, content, Buffer.from([0xce])])
}

function amqpDelivery(channel: number, tag: string): Buffer {
  const method = amqp(1, channel, Buffer.concat([Buffer.from([0, 60, 0, 60, tag.length]), Buffer.from(tag)]))
  return Buffer.concat([method, amqp(2, channel, Buffer.from('header')), amqp(3, channel, Buffer.from('body'))])
}

test('streams: the subscriptions that were served get nothing, others and what is no delivery pass', () => {
  const filter = new DeliveryFilter('rabbitmq-stream')
  const [first, second, heartbeat] = [stream(8, 1, 7, 7), stream(8, 2, 7, 7), stream(23)]
  expect(filter.sift('to-client', first)).toEqual(first)
  filter.deafen()
  expect(filter.sift('to-client', Buffer.concat([first, heartbeat, second]))).toEqual(
    Buffer.concat([heartbeat, second]),
  )
  expect(filter.swallowed).toBe(first.length)
  // Its number is given to another one.
  const unsubscribe = stream(12, 0, 0, 0, 9, 1)
  expect(filter.sift('to-server', unsubscribe)).toEqual(unsubscribe)
  expect(filter.sift('to-client', first)).toEqual(first)
})

test('kafka: answers to fetches are told by their requests', () => {
  const filter = new DeliveryFilter('kafka')
  const request = (api: number, id: number): Buffer => sized(Buffer.from([0, api, 0, 4, 0, 0, 0, id, 1, 2]))
  const answer = (id: number): Buffer => sized(Buffer.from([0, 0, 0, id, 5, 5, 5]))
  for (const one of [request(1, 1), request(12, 2), request(1, 3)]) expect(filter.sift('to-server', one)).toEqual(one)
  expect(filter.sift('to-client', answer(1))).toEqual(answer(1))
  filter.deafen()
  expect(filter.sift('to-client', Buffer.concat([answer(3), answer(2)]))).toEqual(answer(2))
  expect(filter.swallowed).toBe(answer(3).length)
})

test('amqp: header and body go with their delivery, and a heartbeat tells that the server is there', () => {
  const filter = new DeliveryFilter('amqp')
  const delivery = amqpDelivery(1, 'one')
  expect(filter.sift('to-client', delivery)).toEqual(delivery)
  filter.deafen()
  const other = amqpDelivery(2, 'two')
  const answer = amqp(1, 1, Buffer.from([0, 60, 0, 11]))
  const heartbeat = amqp(8, 0, NOTHING)
  expect(filter.sift('to-client', Buffer.concat([delivery, answer, other]))).toEqual(
    Buffer.concat([heartbeat, heartbeat, heartbeat, answer, other]),
  )
  expect(filter.swallowed).toBe(delivery.length)
})

test('a frame that comes in pieces is held back until it is whole', () => {
  const filter = new DeliveryFilter('rabbitmq-stream')
  const delivery = stream(8, 1, 7, 7)
  expect(filter.sift('to-client', delivery.subarray(0, 2))).toEqual(NOTHING)
  expect(filter.sift('to-client', delivery.subarray(2, 7))).toEqual(NOTHING)
  expect(filter.sift('to-client', Buffer.concat([delivery.subarray(7), delivery.subarray(0, 1)]))).toEqual(delivery)
})
