import type { DeadLetterDetails, Message } from '@streamswitch/core'
import { type Channel, type ConsumeMessage, connect, type Options } from 'amqplib'
import { describe, expect, it, onTestFinished } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'
import { Bit, long, publishRaw, type RawMessage, short } from './support/raw-publisher.js'

const WAIT = { timeout: 20_000, interval: 5 }

async function foreignChannel(): Promise<Channel> {
  const connection = await connect(brokerUrl)
  onTestFinished(() => connection.close())
  return connection.createChannel()
}

/** A group whose handler fails at first, then succeeds, and what it saw: ids of properties and headers, by body. */
async function failingGroup(topic: string, partitions = 1) {
  const transport = openTransport(brokerUrl)
  onTestFinished(() => transport.close())
  const seen: Message[] = []
  const state = { failing: true }
  const loop = transport.consumer(topic, { group: 'g', codec: 'bytes', partitions, retry: { attempts: 1 } })
  loop.handle((message) => {
    if (state.failing) throw new Error('fails')
    seen.push(message)
  })
  await loop.init()
  void loop.run()
  const letters = transport.deadLetters(topic, { group: 'g' })
  return { transport, loop, letters, seen, state }
}

const native = ({ native: one }: Message): ConsumeMessage => one as ConsumeMessage

describe('a message of a foreign client', () => {
  it('has its properties and headers again at its replay; what the broker would act upon is in a header of the dead letter', async () => {
    const topic = uniqueName('foreign')
    const { loop, letters, seen, state } = await failingGroup(topic)
    const channel = await foreignChannel()
    const acted: Options.Publish = { userId: 'guest', expiration: '86400000', replyTo: 'erp.answers', CC: ['audit'] }
    const kept: Options.Publish = {
      contentType: 'application/avro',
      contentEncoding: 'gzip',
      type: 'order.created',
      correlationId: 'c-1',
      priority: 7,
      appId: 'erp',
    }
    const headers = {
      list: ['a', { '!': 'short', value: 1 }, null],
      table: { nested: { '!': 'timestamp', value: 1_767_225_600 } },
      wide: { '!': 'long', value: 9_007_199_254_740_993n },
      price: { '!': 'decimal', value: { digits: 1999, places: 2 } },
    }
    channel.publish(topic, 'erp-key', Buffer.from([0x1f, 0x8b]), { ...acted, ...kept, deliveryMode: 1, headers })
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(1)
    const [id] = (await letters.list()).letters.map((letter) => letter.id)
    const letter: DeadLetterDetails = await letters.show(id ?? '')
    expect(JSON.parse(letter.headers['streamswitch-set-aside'] ?? '')).toEqual({
      'user-id': 'guest',
      expiration: '86400000',
      'reply-to': 'erp.answers',
      'delivery-mode': 1,
      CC: ['audit'],
    })
    expect(letter.headers.wide, 'a 64-bit number as text').toBe('9007199254740993')
    expect(letter.incomplete).toBeUndefined()
    state.failing = false
    await letters.replay({ all: true })
    await expect.poll(() => seen.length, WAIT).toBe(1)
    const { properties } = native(seen[0] as Message)
    expect(properties).toMatchObject({ ...kept, headers: { table: { nested: headers.table.nested } } })
    expect(properties.headers?.list).toEqual(['a', 1, null])
    expect(properties.headers?.price).toEqual(headers.price)
    for (const gone of [properties.userId, properties.expiration, properties.replyTo, properties.headers?.CC])
      expect(gone).toBeUndefined()
    expect(seen[0]).toMatchObject({ key: 'erp-key', bytes: Buffer.from([0x1f, 0x8b]) })
  })

  it('is handled and dead-lettered whatever its headers are; what no frame holds any more is a substitute', async () => {
    const topic = uniqueName('foreign')
    const { loop, letters, state, seen } = await failingGroup(topic)
    const message = (name: string, value: Buffer): RawMessage => ({
      routingKey: Buffer.from('k'),
      body: Buffer.from(name),
      properties: new Map([[Bit.messageId, short(Buffer.from(name))]]),
      headers: [[Buffer.from(name), value]],
    })
    await publishRaw(topic, [message('full', long('S', Buffer.alloc(129_500, 'x')))])
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(1)
    expect((await letters.list()).letters).toMatchObject([{ id: 'full', incomplete: expect.stringMatching(/headers/) }])
    let deep: Buffer = Buffer.from('V')
    // Deeper than amqplib's decoder can follow.
    for (let depth = 0; depth < 8_000; depth += 1) deep = long('A', deep)
    await publishRaw(topic, [message('deep', deep)])
    await expect.poll(() => loop.stats().deadLettered, WAIT).toBe(2)
    state.failing = false
    await publishRaw(topic, [message('next', long('S', Buffer.from('text')))])
    await expect.poll(() => seen.map(({ id }) => id), WAIT).toEqual(['next'])
    expect(loop.stats().reconnects).toBe(0)
  })

  it('has its routing key as its key, also where that is a number: only that of its own partition is none', async () => {
    const [topic, many] = [uniqueName('foreign'), uniqueName('foreign')]
    const [group, others] = [await failingGroup(topic), await failingGroup(many, 3)]
    for (const { state } of [group, others]) state.failing = false
    const channel = await foreignChannel()
    for (let number = 0; number < 8; number += 1) channel.publish(topic, '42', Buffer.from([number]))
    for (const routingKey of ['0', '2', '3', '03']) channel.publish(many, routingKey, Buffer.from(routingKey))
    await expect.poll(() => [group.seen.length, others.seen.length], WAIT).toEqual([8, 4])
    expect(group.seen.map(({ key, bytes }) => [key, bytes?.[0]])).toEqual(
      Array.from({ length: 8 }, (_, n) => ['42', n]),
    )
    expect(Object.fromEntries(others.seen.map(({ bytes, key }) => [String(bytes), key]))).toEqual({
      '0': undefined,
      '2': undefined,
      '3': '3',
      '03': '03',
    })
    // Ids and names that are no UTF-8 would else be the same ones.
    const odd = (id: string): RawMessage => ({
      routingKey: Buffer.from('k'),
      body: Buffer.from(id),
      properties: new Map([[Bit.messageId, short(Buffer.from(id, 'hex'))]]),
      headers: [[Buffer.from(id, 'hex'), long('S', Buffer.from('value'))]],
    })
    await publishRaw(topic, [odd('ff'), odd('fe')])
    await expect.poll(() => group.seen.length, WAIT).toBe(10)
    const [one, two] = group.seen.slice(8)
    expect([one?.headers, two?.headers]).toEqual([{}, {}])
    expect(one?.id).toMatch(/^sha256-/)
    expect(two?.id).not.toBe(one?.id)
    // One that was sent to a partition without queue of its own says so itself.
    const own = { headers: { 'streamswitch-timestamp': '1767225600000' }, messageId: 'ours' }
    channel.publish(topic, '5', Buffer.from('ours'), own)
    await expect.poll(() => group.seen.at(-1)?.id, WAIT).toBe('ours')
    expect(group.seen.at(-1)?.key).toBeUndefined()
  })
})
