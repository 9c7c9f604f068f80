import { type Channel, type ConsumeMessage, connect } from 'amqplib'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 20_000, interval: 5 }

/** A channel of a client that knows nothing of Streamswitch. */
async function foreignChannel(): Promise<Channel> {
  const connection = await connect(brokerUrl)
  onTestFinished(() => connection.close())
  return connection.createChannel()
}

/** What comes into a queue. */
async function collect(channel: Channel, queue: string): Promise<ConsumeMessage[]> {
  const came: ConsumeMessage[] = []
  await channel.consume(queue, (message) => message !== null && came.push(message), { noAck: true })
  return came
}

function ownTransport(options: Readonly<Record<string, unknown>> = {}) {
  const transport = openTransport(brokerUrl, options)
  onTestFinished(() => transport.close())
  return transport
}

describe('a foreign requester', () => {
  async function ask(topic: string, replyQueue: 'its own' | 'direct reply-to') {
    const channel = await foreignChannel()
    const queue =
      replyQueue === 'its own' ? (await channel.assertQueue('', { exclusive: true })).queue : 'amq.rabbitmq.reply-to'
    const came = await collect(channel, queue)
    const properties = { replyTo: queue, correlationId: 'question 1' }
    channel.publish(topic, 'any key', Buffer.from('21'), properties)
    return came
  }

  it.each(['its own', 'direct reply-to'] as const)('gets its answer in its queue: %s', async (replyQueue) => {
    const topic = uniqueName('asked')
    const loop = ownTransport().consumer<number>(topic, { group: 'g' })
    loop.handle(({ value }) => ({ doubled: value * 2 }))
    void loop.run()
    await loop.init()
    const came = await ask(topic, replyQueue)
    await vi.waitUntil(() => came.length > 0, WAIT)
    expect(came.map(({ content }) => JSON.parse(content.toString()))).toEqual([{ doubled: 42 }])
    expect(came[0]?.properties).toMatchObject({ correlationId: 'question 1', contentType: 'application/json' })
    expect(came[0]?.properties.headers, 'the name of the queue is no key').not.toHaveProperty('streamswitch-key')
    await expect.poll(() => loop.stats().acked, WAIT).toBe(1)
  })

  it('gets every part, in order, under its correlation id', async () => {
    const topic = uniqueName('asked')
    const loop = ownTransport().consumer<number>(topic, { group: 'g' })
    loop.handle(async function* ({ value }) {
      yield value
      yield value + 1
    })
    void loop.run()
    await loop.init()
    const came = await ask(topic, 'its own')
    // The end is a record of its own, without a body.
    await vi.waitUntil(() => came.length === 3, WAIT)
    expect(came.map(({ content }) => content.toString())).toEqual(['21', '22', ''])
    expect(new Set(came.map(({ properties }) => properties.correlationId))).toEqual(new Set(['question 1']))
    expect(came.map(({ properties }) => properties.headers?.['streamswitch-reply-end'])).toEqual([
      undefined,
      undefined,
      '1',
    ])
  })

  it('that is gone costs the group no message, and who awaits the answer learns of its queue', async () => {
    const topic = uniqueName('asked')
    const loop = ownTransport({ replyQueues: ['no-such-queue-*'] }).consumer<number>(topic, { group: 'g' })
    const handled: number[] = []
    const refusals: unknown[] = []
    loop.handle(async (message) => {
      handled.push(message.value)
      if (message.value === 1) await message.respond('to nobody').catch((error: unknown) => refusals.push(error))
      return 'to nobody'
    })
    void loop.run()
    await loop.init()
    const channel = await foreignChannel()
    const queue = uniqueName('no-such-queue')
    channel.publish(topic, 'k', Buffer.from('1'), { replyTo: queue, correlationId: 'c' })
    channel.publish(topic, 'k', Buffer.from('2'))
    await expect.poll(() => loop.stats().acked, WAIT).toBe(2)
    expect(handled).toEqual([1, 2])
    expect(refusals).toMatchObject([{ code: 'NOT_FOUND', message: expect.stringContaining(`reply queue '${queue}'`) }])
    expect(loop.stats().deadLettered).toBe(0)
  })

  it('is a plain message once replies go elsewhere', async () => {
    const topic = uniqueName('asked')
    const elsewhere = ownTransport()
    const transport = openTransport(brokerUrl, {}, { feedback: elsewhere })
    onTestFinished(() => transport.close())
    const loop = transport.consumer<number>(topic, { group: 'g' })
    const refusals: unknown[] = []
    loop.handle(async (message) => {
      await message.respond('nowhere').catch((error: unknown) => refusals.push(error))
    })
    void loop.run()
    await loop.init()
    const channel = await foreignChannel()
    channel.publish(topic, 'k', Buffer.from('1'), { replyTo: 'erp.answers', correlationId: 'c' })
    await expect.poll(() => loop.stats().acked, WAIT).toBe(1)
    expect(refusals).toMatchObject([{ code: 'UNSUPPORTED', message: expect.stringContaining('erp.answers') }])
    expect(loop.stats().deadLettered).toBe(0)
  })
})

it('a foreign responder that knows reply_to and correlation_id answers our callers', async () => {
  const topic = uniqueName('asked')
  const producer = ownTransport().producer<number>(topic, { partitions: 1 })
  await producer.init()
  const channel = await foreignChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, topic, '0')
  await channel.consume(
    queue,
    (message) => {
      if (message === null) return
      const { replyTo, correlationId } = message.properties
      const answer = JSON.stringify({ doubled: Number(message.content) * 2 })
      channel.sendToQueue(replyTo as string, Buffer.from(answer), { correlationId: correlationId as string })
    },
    { noAck: true },
  )
  const replies = [1, 2, 3].map((number) => producer.request<{ doubled: number }>(number))
  for (const [index, reply] of replies.entries()) {
    expect(await reply.read()).toEqual({ doubled: (index + 1) * 2 })
    expect(await reply.read(), 'a foreign answer is a whole reply').toBeUndefined()
  }
})

it.each([
  ['without a version', {}],
  ['as ours', { 'streamswitch-reply': '1', 'streamswitch-reply-part': '1', 'streamswitch-reply-end': '1' }],
])('a foreign responder reports a failure by its header and an empty body: %s', async (_title, more) => {
  const topic = uniqueName('asked')
  const producer = ownTransport().producer<number>(topic, { partitions: 1 })
  await producer.init()
  const channel = await foreignChannel()
  const { queue } = await channel.assertQueue('', { exclusive: true })
  await channel.bindQueue(queue, topic, '0')
  const answer = (message: ConsumeMessage | null): void => {
    const { replyTo, correlationId } = (message as ConsumeMessage).properties
    const headers = { ...more, 'streamswitch-error': 'no such order', 'streamswitch-error-code': 'NOT_FOUND' }
    channel.sendToQueue(replyTo as string, Buffer.alloc(0), { correlationId: correlationId as string, headers })
  }
  await channel.consume(queue, answer, { noAck: true })
  const failure = { code: 'NOT_FOUND', message: expect.stringContaining('no such order') }
  await expect(producer.request(1).read()).rejects.toMatchObject(failure)
})
