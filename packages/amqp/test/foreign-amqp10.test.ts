import type { Message } from '@streamswitch/core'
import rhea, { type Message as ForeignMessage, type Sender } from 'rhea'
import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 20_000, interval: 5 }

/** A client of AMQP 1.0, which RabbitMQ 4 speaks on the same port. */
async function sendTo(exchange: string, messages: readonly ForeignMessage[]): Promise<void> {
  const { hostname, port, username, password } = new URL(brokerUrl)
  const container = rhea.create_container()
  const connection = container.connect({ host: hostname, port: Number(port), username, password, reconnect: false })
  onTestFinished(() => void connection.close())
  const sender: Sender = connection.open_sender(`/exchanges/${exchange}/a-key`)
  await new Promise<void>((resolve) => sender.once('sendable', () => resolve()))
  let accepted = 0
  const done = new Promise<void>((resolve, reject) => {
    sender.on('accepted', () => {
      accepted += 1
      if (accepted === messages.length) resolve()
    })
    for (const refusal of ['rejected', 'released', 'sender_error', 'disconnected'])
      sender.on(refusal, () => reject(new Error(refusal)))
  })
  for (const message of messages) sender.send(message)
  await done
}

test('what was published by AMQP 1.0 is its text, its bytes, or its value as JSON; also after a replay', async () => {
  const topic = uniqueName('amqp10')
  const transport = openTransport(brokerUrl)
  onTestFinished(() => transport.close())
  const { message: format, types } = rhea
  const bodies: readonly (readonly [id: string, body: unknown, payload: string])[] = [
    ['text', 'Grüße, {"id":7}', 'Grüße, {"id":7}'],
    ['bytes', format.data_section(Buffer.from('plain')), 'plain'],
    ['number', types.wrap_long(-5), '-5'],
    ['truth value', true, 'true'],
    ['nothing', null, 'null'],
    ['binary value', types.wrap_binary(Buffer.from('raw')), 'raw'],
    ['list', types.wrap_list([types.wrap_int(1), types.wrap_string('a'), null]), '[1,"a",null]'],
    ['map', types.wrap_map({ a: types.wrap_int(1) }), '{"a":1}'],
    ['symbol', types.wrap_symbol('sym'), 'sym'],
    ['time', types.wrap_timestamp(1_767_225_600_000), '1767225600000'],
    ['sequence', format.sequence_section([types.wrap_int(1), types.wrap_string('b')]), '[1,"b"]'],
  ]
  const seen = new Map<string, Message[]>()
  let failing = true
  const loop = transport.consumer(topic, { group: 'g', codec: 'bytes', retry: { attempts: 1 } })
  loop.handle((message) => {
    seen.set(message.id, [...(seen.get(message.id) ?? []), message])
    if (failing) throw new Error('fails')
  })
  void loop.run()
  await loop.init()
  await sendTo(
    topic,
    bodies.map(([id, body]) => ({ message_id: id, body, durable: true })),
  )
  await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(bodies.length)
  failing = false
  await transport.deadLetters(topic, { group: 'g' }).replay({ all: true })
  await expect.poll(() => loop.stats().acked, WAIT).toBe(2 * bodies.length)
  const payloads = bodies.map(([id]) => [id, seen.get(id)?.map(({ bytes }) => String(bytes))])
  expect(payloads).toEqual(bodies.map(([id, , payload]) => [id, [payload, payload]]))
  for (const [id] of bodies) {
    const [first, second] = seen.get(id)?.map((message) => message.native as { content: Buffer }) ?? []
    expect(second?.content, id).toEqual(first?.content)
  }
})
