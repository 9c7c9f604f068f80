import { startBroker } from '@streamswitch/testkit/brokers'
import { connect } from 'amqplib'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { classifyError, streamsUnavailable } from '../src/errors.js'
import { openTransport as openWith, uniqueName } from './support/member.js'
import { OwnBroker } from './support/own-broker.js'

const WAIT = { timeout: 20_000 }
let own: OwnBroker

beforeAll(async () => {
  own = new OwnBroker(await startBroker('rabbitmq', { config: ['collect_statistics_interval = 500'] }))
})

afterAll(() => own?.broker.remove())

function opened(provision: 'create' | 'verify' | 'none' = 'create', broker = own) {
  const transport = openWith(broker.url, { provision })
  onTestFinished(() => transport.close())
  return transport
}

/** Sends without keys until each partition has had its turn. Resolves with the partitions of the receipts. */
async function partitionsUsed(provision: 'create' | 'verify' | 'none', topic: string): Promise<number[]> {
  const producer = opened(provision).producer<number>(topic)
  const receipts = await Promise.all(Array.from({ length: 8 }, (_, number) => producer.send(number)))
  return [...new Set(receipts.map(({ partition }) => partition as number))].sort()
}

async function topicOf(partitions: number, broker = own): Promise<string> {
  const topic = uniqueName('counted')
  const transport = opened('create', broker)
  const loop = transport.consumer(topic, { group: 'g', partitions })
  await loop.init()
  await loop.close()
  return topic
}

test('policies on all queues leave the partition count and the list of topics alone', async () => {
  const topic = await topicOf(4)
  onTestFinished(() => own.clearPolicy())
  const definition = { 'message-ttl': 200, 'max-length': 1, 'max-length-bytes': 1, 'delivery-limit': 1 }
  await own.setPolicy({ ...definition, overflow: 'drop-head' })
  await own.policyApplies(`${topic}:g:0`, definition)
  await own.policyDrops()
  for (const provision of ['verify', 'none', 'create'] as const)
    expect(await partitionsUsed(provision, topic), provision).toEqual([0, 1, 2, 3])
  expect(await opened().admin.topics()).toContainEqual({ topic, partitions: 4 })
  // What streams themselves obey, alone in a policy.
  await own.setPolicy({ 'max-length-bytes': 1, 'max-age': '1s' })
  await own.policyApplies(`${topic}:partitions`, { 'max-length-bytes': 1 })
  for (const provision of ['verify', 'none'] as const)
    expect(await partitionsUsed(provision, topic), provision).toEqual([0, 1, 2, 3])
  expect(await opened().admin.topics()).toContainEqual({ topic, partitions: 4 })
})

test.each(['quorum', 'classic', 'stream'])(
  'a virtual host with the default queue type %s: reading the list of topics removes nothing, a loop by pattern keeps its topics',
  async (type) => {
    const vhost = new OwnBroker(own.broker, uniqueName(type))
    await vhost.makeVhost(type)
    const topic = await topicOf(2, vhost)
    const transport = opened('create', vhost)
    const handled: unknown[] = []
    const loop = transport.consumer({ pattern: 'counted-*' }, { group: 'p', topicRefreshMs: 50 })
    loop.handle(({ value }) => void handled.push(value))
    void loop.run()
    await loop.init()
    for (let read = 0; read < 40; read += 1)
      expect(await opened('create', vhost).admin.topics()).toEqual([{ topic, partitions: 2 }])
    await transport.producer<number>(topic).send(1)
    await expect.poll(() => handled, WAIT).toEqual([1])
    const queues = await vhost.api<{ name: string; type: string }[]>('GET', `queues/${vhost.url.split('/').at(-1)}`)
    const types = Object.fromEntries((queues ?? []).map((queue) => [queue.name, queue.type]))
    expect(types).toMatchObject({
      [`${topic}:partitions`]: 'stream',
      'streamswitch:topic-registry': 'stream',
      'streamswitch:dropped': 'stream',
      'streamswitch:dropped:expired': 'quorum',
      [`${topic}:p:0`]: 'quorum',
    })
    expect(Object.entries(types).filter(([name]) => name.startsWith(`${topic}:p:members:`))).toMatchObject([
      [expect.anything(), 'classic'],
    ])
  },
  60_000,
)

test('the list of topics is deleted: what exists is noted again, and no loop leaves its topics', async () => {
  const vhost = new OwnBroker(own.broker, uniqueName('registry'))
  await vhost.makeVhost()
  const [kept, deleted] = [await topicOf(2, vhost), await topicOf(1, vhost)]
  const transport = opened('create', vhost)
  const handled: unknown[] = []
  const loop = transport.consumer({ pattern: 'counted-*' }, { group: 'p', topicRefreshMs: 50 })
  loop.handle(({ value }) => void handled.push(value))
  const revoked: string[] = []
  loop.on('revoked', ({ partitions }) => revoked.push(...partitions.map((one) => one.topic)))
  void loop.run()
  await loop.init()
  await vhost.deleteQueue('streamswitch:topic-registry')
  await expect.poll(() => opened('create', vhost).admin.topics(), WAIT).toHaveLength(2)
  expect(revoked).toEqual([])
  await transport.producer<number>(kept).send(1)
  await expect.poll(() => handled, WAIT).toEqual([1])
  await transport.admin.deleteTopic(transport.topicSpec(deleted))
  await expect.poll(() => revoked, WAIT).toContain(deleted)
  await expect.poll(() => transport.admin.topics(), WAIT).toEqual([{ topic: kept, partitions: 2 }])
})

test('a partition count that was deleted is restored from the list of topics, never guessed', async () => {
  const vhost = new OwnBroker(own.broker, uniqueName('count'))
  await vhost.makeVhost()
  const topic = await topicOf(3, vhost)
  await vhost.deleteQueue(`${topic}:partitions`)
  const missing = { code: 'CONFLICT', retryable: false, message: expect.stringContaining(`${topic}:partitions`) }
  await expect(opened('verify', vhost).producer(topic).init()).rejects.toMatchObject(missing)
  await expect(opened('none', vhost).producer(topic).init()).rejects.toMatchObject(missing)
  await opened('create', vhost).producer(topic).init()
  expect(await opened('verify', vhost).admin.topics()).toEqual([{ topic, partitions: 3 }])
  await opened('verify', vhost).producer(topic, { partitions: 3 }).init()

  await vhost.deleteQueue(`${topic}:partitions`)
  await vhost.deleteQueue('streamswitch:topic-registry')
  await expect(opened('create', vhost).producer(topic).init()).rejects.toMatchObject(missing)
  await opened('create', vhost).producer(topic, { partitions: 3 }).init()
  expect(await opened('create', vhost).admin.topics()).toEqual([{ topic, partitions: 3 }])
})

test('many create one topic at the same time, with different counts: one count wins, and the others are told', async () => {
  const topic = uniqueName('race')
  const outcomes = await Promise.allSettled(
    [1, 2, 3, 4, 5].map((partitions) => opened().producer(topic, { partitions }).init()),
  )
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const outcome of outcomes)
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'CONFLICT' })
})

test('a broker that knows no streams: the error says what they are needed for', async () => {
  const connection = await connect(own.url)
  onTestFinished(() => connection.close())
  const channel = await connection.createChannel()
  channel.on('error', () => {})
  // What a broker says of a queue type that it doesn't have.
  const refusal: unknown = await channel
    .assertQueue(uniqueName('unknown'), { arguments: { 'x-queue-type': 'unheard-of' } })
    .catch((error: unknown) => error)
  expect(classifyError(streamsUnavailable(refusal, 'orders:partitions'), 'open', 'orders')).toMatchObject({
    code: 'UNSUPPORTED',
    retryable: false,
    topic: 'orders',
    message: expect.stringMatching(/stream 'orders:partitions' can't be declared: .*unheard-of.*partition counts/),
  })
})

test.each([
  ['quorum', { 'x-queue-type': 'quorum', 'x-max-length': 1, 'x-delivery-limit': 1 }],
  ['classic', { 'x-queue-type': 'classic' }],
])('a %s queue in the place of a partition count is a conflict that names it', async (_type, queueArguments) => {
  const topic = uniqueName('older')
  const connection = await connect(own.url)
  onTestFinished(() => connection.close())
  const channel = await connection.createChannel()
  await channel.assertQueue(`${topic}:partitions`, { durable: true, arguments: queueArguments })
  await channel.assertExchange(topic, 'direct', { durable: true })
  for (const provision of ['create', 'verify'] as const)
    await expect(opened(provision).producer(topic).init(), provision).rejects.toMatchObject({
      code: 'CONFLICT',
      retryable: false,
      message: expect.stringContaining(`${topic}:partitions`),
    })
})
