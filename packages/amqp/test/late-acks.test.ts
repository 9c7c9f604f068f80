import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { AmqpConnection } from '../src/connection.js'
import { consumerTimeoutProxy } from './support/consume-argument-proxy.js'
import {
  expectCompleteInOrder,
  type Handled,
  isComplete,
  openTransport,
  Sender,
  startMember,
  uniqueName,
} from './support/member.js'

const WAIT = { timeout: 60_000, interval: 50 }
const LONG = 120_000
/** Where the launcher can't provide RabbitMQ 4.3: the address of one. */
const given = process.env['STREAMSWITCH_TEST_RABBITMQ_43_URL']
let broker: BrokerHandle | undefined
let url: string
let version: string

beforeAll(async () => {
  const newest = { version: '4.3' }
  if (given === undefined) broker = await startBroker('rabbitmq', { config: [], ...newest })
  url = given ?? (broker?.url as string)
  const connection = await connect(url)
  version = String(connection.connection.serverProperties.version)
  await connection.close()
})

afterAll(() => broker?.remove())

function isOlder(): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major < 4 || (major === 4 && minor < 3)
}

test(
  'acks that are too late (RabbitMQ 4.3 cancels the consumer and requeues while the handler runs): the partition is lost and consumed again, the others never stop',
  async ({ skip }) => {
    skip(isOlder(), `RabbitMQ ${version} closes the channel instead: faults.test.ts`)
    const topic = uniqueName('late')
    const proxy = await consumerTimeoutProxy(url, 1_500)
    onTestFinished(() => proxy.close())
    const handled: Handled[] = []
    const aborted: unknown[] = []
    const member = await startMember({
      url: proxy.url,
      topic,
      group: 'g',
      name: 'm',
      handled,
      settings: { partitions: 2, prefetch: 50 },
      handler: async ({ value, signal, attempt, partition }) => {
        if (value !== 0 || aborted.length > 0) return
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        aborted.push({ attempt, partition, reason: signal.reason })
        throw signal.reason
      },
    })
    onTestFinished(() => member.transport.close())
    const lost: string[] = []
    member.loop.on('revoked', ({ partitions, how }) => lost.push(...partitions.map((one) => `${one.partition} ${how}`)))
    const transport = openTransport(url)
    onTestFinished(() => transport.close())
    const sender = new Sender(transport.producer<number>(topic, { partitions: 2 }), 8)
    sender.send(200)
    await expect.poll(() => lost.length, WAIT).toBeGreaterThan(0)
    sender.send(200)
    await expect.poll(() => isComplete(sender, handled), WAIT).toBe(true)
    expectCompleteInOrder(sender, handled)
    expect(aborted).toHaveLength(1)
    expect(lost, 'one partition, once').toHaveLength(1)
    expect(lost[0]).toMatch(/ lost$/)
    expect(member.loop.stats()).toMatchObject({ reconnects: 0, partitions: 2 })
    expect(member.errors).toMatchObject([{ code: 'UNAVAILABLE', message: expect.stringContaining('consumer timeout') }])
  },
  LONG,
)

test(
  'one cancel for each late message costs neither channel nor connection',
  async ({ skip }) => {
    skip(isOlder(), `RabbitMQ ${version} closes the channel instead`)
    const connection = new AmqpConnection(await connect(url), 10_000)
    onTestFinished(() => connection.close())
    const closed: unknown[] = []
    const channel = await connection.openChannel((error) => closed.push(error))
    let cancels = 0
    channel.on('cancel', () => {
      cancels += 1
    })
    await channel.prefetch(10)
    // A busy broker may cancel once and leave the rest of the messages where they are, until the channel closes: then the case hasn't occurred yet.
    while (cancels < 2) {
      cancels = 0
      const queue = uniqueName('cancelled')
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
      const taken: (string | undefined)[] = []
      await channel.consume(queue, (message) => void taken.push(message?.content.toString()), {
        arguments: { 'x-consumer-timeout': 1_000 },
      })
      for (const content of ['a', 'b', 'c']) {
        channel.sendToQueue(queue, Buffer.from(content), { persistent: true })
        await expect.poll(() => taken, WAIT).toContain(content)
        const apart = performance.now() + 100
        await expect.poll(() => performance.now(), WAIT).toBeGreaterThan(apart)
      }
      await expect.poll(() => taken, WAIT).toEqual(['a', 'b', 'c', undefined])
      const deadline = performance.now() + 2_000
      await expect.poll(() => cancels > 1 || performance.now() > deadline, WAIT).toBe(true)
      await connection.withChannel('clean up', async (other) => void (await other.deleteQueue(queue)))
    }
    expect(closed).toEqual([])
    expect(connection.gone).toBe(false)
  },
  LONG,
)

test(
  'a queue whose messages wait unacked for long is consumed without a timeout of the broker',
  async ({ skip }) => {
    skip(isOlder(), `RabbitMQ ${version} takes no timeout from consumers`)
    const connection = await connect(url)
    onTestFinished(() => connection.close())
    const channel = await connection.createConfirmChannel()
    const queue = uniqueName('old-timeout')
    // As versions before declared it: the queue's process fails at the first delivery unless the consumer brings another value.
    await channel.assertQueue(queue, {
      durable: true,
      arguments: { 'x-queue-type': 'quorum', 'x-consumer-timeout': Number.MAX_SAFE_INTEGER },
    })
    onTestFinished(async () => void (await channel.deleteQueue(queue)))
    let taken = 0
    await channel.consume(
      queue,
      (message) => {
        taken += 1
        if (message !== null) channel.ack(message)
      },
      { arguments: { 'x-consumer-timeout': 2 ** 32 - 1 } },
    )
    for (let number = 0; number < 50; number += 1) channel.sendToQueue(queue, Buffer.from('x'), { persistent: true })
    await channel.waitForConfirms()
    await expect.poll(() => taken, WAIT).toBe(50)
  },
  LONG,
)

test(
  'a queue of an older version is a conflict that names it and says what to do',
  async () => {
    const topic = uniqueName('older')
    const transport = openTransport(url)
    onTestFinished(() => transport.close())
    await transport.producer(topic).init()
    const connection = await connect(url)
    onTestFinished(() => connection.close())
    const channel = await connection.createChannel()
    await channel.assertQueue(`${topic}:g:0`, {
      durable: true,
      arguments: {
        'x-queue-type': 'quorum',
        'x-delivery-limit': -1,
        'x-consumer-timeout': Number.MAX_SAFE_INTEGER,
        'x-single-active-consumer': true,
      },
    })
    await expect(transport.consumer(topic, { group: 'g' }).init()).rejects.toMatchObject({
      code: 'CONFLICT',
      retryable: false,
      message: expect.stringMatching(new RegExp(`queue '${topic}:g:0'.*drain and delete it`)),
    })
  },
  LONG,
)
