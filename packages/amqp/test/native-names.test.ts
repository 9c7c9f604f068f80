import { type Message, Transport } from '@streamswitch/core'
import { nativeNames } from '@streamswitch/testkit'
import { TcpProxy } from '@streamswitch/testkit/faults'
import { type ConfirmChannel, connect } from 'amqplib'
import { describe, expect, it, onTestFinished } from 'vitest'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

const WAIT = { timeout: 40_000, interval: 20 }
const SECOND = { timeout: 90_000 }

/** Runs calls of a client that is not Streamswitch's. */
async function foreign(work: (channel: ConfirmChannel) => Promise<unknown>): Promise<void> {
  const connection = await connect(brokerUrl)
  try {
    const channel = await connection.createConfirmChannel()
    await work(channel)
    await channel.waitForConfirms()
  } finally {
    await connection.close()
  }
}

function opened(options: Readonly<Record<string, unknown>> = {}): Transport {
  const transport = openTransport(brokerUrl, options)
  onTestFinished(() => transport.close({ timeoutMs: 2_000 }))
  return transport
}

/** An exchange of others, deleted after the test. */
async function exchange(type: string): Promise<string> {
  const name = `Exchange: ${uniqueName(type)}`
  await foreign((channel) => channel.assertExchange(name, type, { durable: true }))
  onTestFinished(() => foreign((channel) => channel.deleteExchange(name)))
  return name
}

/** A queue of others, deleted after the test. */
async function queue(type: 'classic' | 'quorum'): Promise<string> {
  const name = `Queue: ${uniqueName(type)}`
  await foreign((channel) => channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': type } }))
  onTestFinished(() => foreign((channel) => channel.deleteQueue(name)))
  return name
}

describe('an existing exchange', () => {
  nativeNames({
    adapter: amqp,
    url: () => brokerUrl,
    names: { topic: 'App Orders: é ', group: 'Billing: Service ' },
    create: (name) => foreign((channel) => channel.assertExchange(name, 'topic', { durable: true })),
    write: (name, body) => foreign(async (channel) => channel.publish(name, 'order.created', body)),
    remove: (name) => foreign((channel) => channel.deleteExchange(name)),
  })

  it.each([
    { type: 'direct', bindings: ['created', 'paid'], keys: ['created', 'paid', 'lost'], wanted: ['created', 'paid'] },
    { type: 'topic', bindings: ['eu.*'], keys: ['eu.one', 'us.one'], wanted: ['eu.one'] },
    { type: 'topic', bindings: undefined, keys: ['eu.one', 'us.one'], wanted: ['eu.one', 'us.one'] },
    { type: 'fanout', bindings: undefined, keys: ['any', 'other'], wanted: ['any', 'other'] },
    {
      type: 'headers',
      bindings: [{ arguments: { 'x-match': 'all', region: 'any' } }],
      keys: ['any', 'other'],
      wanted: ['any'],
    },
    { type: 'headers', bindings: undefined, keys: ['any', 'other'], wanted: ['any', 'other'] },
  ])('of type $type, bound by $bindings', SECOND, async ({ type, bindings, keys, wanted }) => {
    const name = await exchange(type)
    const transport = opened({ topics: { orders: { name } } })
    onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec('orders')))
    const seen: Message<string>[] = []
    const loop = transport.consumer<string>('orders', { group: 'billing', amqp: { bindings } })
    loop.handle((message) => void seen.push(message))
    await loop.init()
    void loop.run()
    const producer = transport.producer<string>('orders')
    for (const key of keys) {
      const sending = producer.send(`ours ${key}`, { key, headers: { region: key } })
      if (wanted.includes(key)) await sending
      else await expect(sending, 'nobody gets it').rejects.toMatchObject({ code: 'NOT_FOUND' })
    }
    await foreign(async (channel) => {
      for (const key of keys) channel.publish(name, key, Buffer.from(`"theirs ${key}"`), { headers: { region: key } })
    })
    await expect.poll(() => seen.length, WAIT).toBe(2 * wanted.length)
    expect(seen.map(({ value, key }) => `${key}: ${value}`).sort()).toEqual(
      wanted.flatMap((key) => [`${key}: ours ${key}`, `${key}: theirs ${key}`]).sort(),
    )
    expect(await loop.lag()).toEqual([{ topic: 'orders', partition: 0, lag: 0, unacked: 0 }])
  })

  it('that is deleted and declared again is bound again; what its groups had stays theirs', SECOND, async () => {
    const name = await exchange('fanout')
    const transport = opened({ topics: { orders: { name } } })
    onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec('orders')))
    const seen: unknown[] = []
    const loop = transport.consumer('orders', { group: 'billing', probeIntervalMs: 200 })
    loop.handle(({ value }) => void seen.push(value))
    await loop.init()
    void loop.run()
    const reconnecting = new Promise((resolve) => loop.on('reconnecting', resolve))
    await foreign((channel) => channel.deleteExchange(name))
    expect(await reconnecting).toMatchObject({ error: { code: 'NOT_FOUND', message: expect.stringContaining(name) } })
    await foreign((channel) => channel.assertExchange(name, 'fanout', { durable: true }))
    const producer = transport.producer('orders')
    await expect
      .poll(() => producer.send(1, { id: 'one' }).catch(({ code }: { code: string }) => code), WAIT)
      .toMatchObject({ id: 'one' })
    await expect.poll(() => seen, WAIT).toEqual([1])
  })

  it('everything about it may stand in the environment', SECOND, async () => {
    const name = await exchange('direct')
    const environment = {
      STREAMSWITCH_TOPIC_NAMES: `orders=${encodeURIComponent(name)}`,
      STREAMSWITCH_GROUP_NAMES: 'billing=BillingService',
      AMQP_BINDINGS: '{"orders":["created"]}',
    }
    const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    const transport = new Transport(amqp, brokerUrl, { environment, logger })
    onTestFinished(() => transport.close({ timeoutMs: 2_000 }))
    onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec('orders')))
    const seen: unknown[] = []
    const loop = transport.consumer('orders', { group: 'billing' })
    loop.handle(({ value }) => void seen.push(value))
    await loop.init()
    void loop.run()
    await transport.producer('orders').send(1, { key: 'created' })
    await expect.poll(() => seen, WAIT).toEqual([1])
    const wrong = { ...environment, AMQP_BINDINGS: '{"orders":[1]}' }
    expect(() => new Transport(amqp, brokerUrl, { environment: wrong })).toThrow(
      /AMQP_BINDINGS: .*'orders' must be a list/,
    )
  })

  it('of type direct needs bindings; partitions, a topic of ours and what is for ours alone are refused', async () => {
    const name = await exchange('direct')
    const transport = opened({ topics: { orders: { name } } })
    await expect(transport.consumer('orders', { group: 'g' }).init()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/of type direct.*bindings/),
    })
    await expect(transport.producer('orders', { partitions: 2 }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    const own = uniqueName('own')
    await transport.producer(own).init()
    onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec(own)))
    await expect(transport.producer('orders', { nativeName: own }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    const bound = transport.consumer(own, { group: 'g', amqp: { bindings: ['x'] } })
    await expect(bound.init()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const alone = transport.consumer(own, { group: 'g', amqp: { exclusive: true } })
    await expect(alone.init()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })

  it(
    'an exchange of the broker, a routing key for all messages, and a replay that reaches its group alone',
    SECOND,
    async () => {
      const transport = opened({ topics: { orders: { name: 'amq.topic' } } })
      onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec('orders')))
      onTestFinished(() => transport.admin.deleteTopic(transport.deadLetterSpec('orders', group)))
      const [group, other, routingKey] = [uniqueName('g'), uniqueName('other'), uniqueName('key')]
      const seen: string[] = []
      let broken = true
      for (const one of [group, other]) {
        const loop = transport.consumer<string>('orders', {
          group: one,
          retry: { attempts: 1 },
          amqp: { bindings: [routingKey] },
        })
        loop.on('deadLetter', ({ id }) => seen.push(`dead ${id}`))
        loop.handle(({ id, key }) => {
          if (broken && one === group) throw new Error('broken')
          seen.push(`${one === group ? 'group' : 'other'} ${id} ${key}`)
        })
        await loop.init()
        void loop.run()
      }
      const listener = await connect(brokerUrl)
      onTestFinished(() => listener.close())
      const channel = await listener.createChannel()
      const { queue: theirs } = await channel.assertQueue('', { exclusive: true })
      await channel.bindQueue(theirs, 'amq.topic', routingKey)
      await channel.consume(theirs, (message) => void seen.push(`theirs ${message?.properties.messageId}`))
      await transport.producer('orders', { amqp: { routingKey } }).send(1, { id: 'one', key: 'k' })
      await expect.poll(() => [...seen].sort(), WAIT).toEqual(['dead one', 'other one k', 'theirs one'])
      broken = false
      const box = transport.deadLetters('orders', { group })
      expect(box.deadLetterTopic).toBe(`_X61mq.topic.${group}.dlq`)
      expect(await box.replay({ all: true })).toMatchObject({ count: 1 })
      await expect.poll(() => [...seen].sort(), WAIT).toEqual(['dead one', 'group one k', 'other one k', 'theirs one'])
      await transport.producer('orders', { amqp: { routingKey } }).send(2, { id: 'two' })
      await expect.poll(() => seen.filter((line) => line.includes('two')).length, WAIT).toBe(3)
      expect(seen).toHaveLength(7)
    },
  )
})

describe('an existing queue', () => {
  it.each(['classic', 'quorum'] as const)(
    '%s: is consumed as it is, beside other consumers, and sent to',
    SECOND,
    async (type) => {
      const name = await queue(type)
      const options = { topics: { jobs: { name }, arbeit: { name } }, queues: ['jobs', 'arbeit'] }
      const [one, two] = [opened({ ...options, prefix: 'one.' }), opened(options)]
      onTestFinished(() => one.admin.deleteTopic(one.deadLetterSpec('jobs', 'workers')))
      const seen: string[] = []
      let broken = true
      const work = async (transport: Transport, topic: string): Promise<void> => {
        const loop = transport.consumer<string>(topic, {
          group: 'workers',
          nativeGroup: 'Workers',
          ordering: 'none',
          retry: { attempts: 2, minDelayMs: 1 },
        })
        loop.on('deadLetter', ({ attempts }) => seen.push(`dead after ${attempts}`))
        loop.handle(({ value }) => {
          if (value === 'poison' && broken) throw new Error('broken')
          seen.push(value)
        })
        await loop.init()
        void loop.run()
      }
      await foreign(async (channel) => {
        for (let number = 0; number < 10; number += 1) channel.sendToQueue(name, Buffer.from(`"old ${number}"`))
      })
      await work(one, 'jobs')
      await work(two, 'arbeit')
      const producer = two.producer<string>('arbeit')
      for (let number = 0; number < 10; number += 1) await producer.send(`new ${number}`)
      await producer.send('poison', { id: 'p' })
      await expect.poll(() => seen.length, WAIT).toBe(21)
      expect(new Set(seen).size).toBe(21)
      expect(seen).toContain('dead after 2')
      expect(await two.admin.lag(two.topicSpec('arbeit'), '')).toEqual([{ topic: 'arbeit', partition: 0, lag: 0 }])
      broken = false
      const settings = { group: 'workers', nativeGroup: 'Workers' }
      const boxes = [one.deadLetters('jobs', settings), two.deadLetters('arbeit', settings)]
      for (const box of boxes) expect((await box.list()).letters.map(({ id }) => id)).toEqual(['p'])
      expect(await boxes[0]?.replay({ all: true })).toMatchObject({ count: 1 })
      await expect.poll(() => seen, WAIT).toContain('poison')
      await one.admin.deleteTopic(one.topicSpec('jobs'))
      await foreign((channel) => channel.checkQueue(name))
    },
  )

  it(
    'what was taken and not acked goes back when a loop closes or loses its connection, and a queue that is declared again is taken up',
    SECOND,
    async () => {
      const name = await queue('quorum')
      const url = new URL(brokerUrl)
      await using proxy = await TcpProxy.start({ host: url.hostname, port: Number(url.port) })
      url.host = `127.0.0.1:${proxy.port}`
      const transport = openTransport(url.href, { topics: { jobs: { name } }, queues: ['jobs'] })
      onTestFinished(() => transport.close({ timeoutMs: 0 }))
      const started = new Set<string>()
      const handled = new Set<string>()
      let isOpen = false
      const consume = async () => {
        const loop = transport.consumer<string>('jobs', { group: 'g', ordering: 'none', concurrency: 5 })
        loop.handle(async ({ value, signal }) => {
          started.add(value)
          if (!isOpen) await new Promise((resolve) => signal.addEventListener('abort', resolve))
          signal.throwIfAborted()
          handled.add(value)
        })
        await loop.init()
        void loop.run()
        return loop
      }
      const first = await consume()
      await foreign(async (channel) => {
        for (let number = 0; number < 20; number += 1) channel.sendToQueue(name, Buffer.from(`"${number}"`))
      })
      await expect.poll(() => started.size, WAIT).toBe(5)
      await first.close({ timeoutMs: 0 })
      started.clear()
      await consume()
      await expect.poll(() => started.size, WAIT).toBe(5)
      isOpen = true
      proxy.cut()
      await expect.poll(() => handled.size, WAIT).toBe(20)
      await foreign(async (channel) => {
        await channel.deleteQueue(name)
        await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
        channel.sendToQueue(name, Buffer.from('"after"'))
      })
      await expect.poll(() => handled, WAIT).toContain('after')
    },
  )

  it('order by key requires that it has none: exclusive, which other consumers keep from', SECOND, async () => {
    const name = await queue('classic')
    const transport = opened({ topics: { jobs: { name } }, queues: ['jobs'] })
    await expect(transport.consumer('jobs', { group: 'g' }).init()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(/ordering: 'none'.*exclusive: true/),
    })
    const handled: string[] = []
    const settings = { group: 'g', amqp: { exclusive: true }, retry: { minDelayMs: 1 } }
    const loop = transport.consumer<string>('jobs', settings)
    loop.handle(async ({ value, attempt }) => {
      if (attempt === 1) throw new Error('once')
      handled.push(value)
    })
    await loop.init()
    void loop.run()
    await expect(transport.consumer('jobs', { ...settings, connectTimeoutMs: 200 }).init()).rejects.toMatchObject({
      message: expect.stringContaining('requires that it has none'),
    })
    const producer = transport.producer<string>('jobs')
    const sent = Array.from({ length: 20 }, (_, number) => String(number))
    await Promise.all(sent.map((value) => producer.send(value, { key: 'k' })))
    await expect.poll(() => handled, WAIT).toEqual(sent)
  })

  it('takes dead letters, which can be listed and sent again; an exchange can not', SECOND, async () => {
    const [name, topic] = [await queue('quorum'), uniqueName('orders')]
    const names = { failed: { name }, lost: { name: 'amq.fanout' } }
    const transport = opened({ topics: names, queues: ['failed'] })
    onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec(topic)))
    const seen: string[] = []
    const loop = transport.consumer(topic, { group: 'g', deadLetter: { topic: 'failed' }, retry: { attempts: 1 } })
    loop.on('deadLetter', ({ id }) => seen.push(`dead ${id}`))
    loop.handle(({ id }) => {
      if (seen.length === 0) throw new Error('broken')
      seen.push(id)
    })
    await loop.init()
    void loop.run()
    await transport.producer(topic).send(1, { id: 'one' })
    await expect.poll(() => seen, WAIT).toEqual(['dead one'])
    const box = transport.deadLetters(topic, { group: 'g', topic: 'failed' })
    expect((await box.list()).letters.map(({ id }) => id)).toEqual(['one'])
    expect(await box.replay({ all: true })).toMatchObject({ count: 1 })
    await expect.poll(() => seen, WAIT).toEqual(['dead one', 'one'])
    expect((await box.list()).letters).toEqual([])
    const lost = transport.topicSpec('lost', { role: 'dead-letters' })
    await expect(transport.admin.provision(lost)).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  })

  it('what it can not have is refused at the start', async () => {
    const name = `Absent ${uniqueName('queue')}`
    const transport = opened({ topics: { jobs: { name } }, queues: ['jobs', 'plain'] })
    const loop = (settings: object) => transport.consumer('jobs', { group: 'g', ordering: 'none', ...settings }).init()
    await expect(loop({})).rejects.toMatchObject({ code: 'NOT_FOUND', message: expect.stringContaining(name) })
    await expect(loop({ partitions: 2 })).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(loop({ amqp: { bindings: ['x'] } })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(transport.producer('plain').init()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    const strict = new Transport(amqp, brokerUrl, {
      environment: { STREAMSWITCH_TOPIC_NAMES: `jobs=${encodeURIComponent(name)}`, AMQP_QUEUES: 'jobs' },
      requires: ['attemptsSurviveRestart', 'durable'],
    })
    onTestFinished(() => strict.close())
    await expect(strict.consumer('jobs', { group: 'g', ordering: 'none' }).init()).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('it has no attemptsSurviveRestart, which is required'),
    })
    const both = transport.consumer(['jobs', 'other'], { group: 'g', ordering: 'none' })
    await expect(both.init()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})
