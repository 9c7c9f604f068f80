import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { brokerUrl } from './support/broker.js'
import { openTransport, uniqueName } from './support/member.js'

async function channel() {
  const connection = await connect(brokerUrl)
  onTestFinished(() => connection.close())
  return connection.createChannel()
}

function opened(provision: 'create' | 'verify' | 'none') {
  const transport = openTransport(brokerUrl, { provision })
  onTestFinished(() => transport.close())
  return transport
}

const PROVISIONS = ['create', 'verify', 'none'] as const

test('a topic of the transport rabbitmq-stream in the same virtual host: the error names it and the way out', async () => {
  const topic = uniqueName('taken')
  const streams = await channel()
  onTestFinished(async () => {
    const clean = await channel()
    await clean.deleteExchange(topic)
    for (const partition of [0, 1]) await clean.deleteQueue(`${topic}-${partition}`)
  })
  // As RabbitMQ makes a super stream.
  await streams.assertExchange(topic, 'direct', { durable: true, arguments: { 'x-super-stream': true } })
  for (const partition of [0, 1]) {
    await streams.assertQueue(`${topic}-${partition}`, { durable: true, arguments: { 'x-queue-type': 'stream' } })
    await streams.bindQueue(`${topic}-${partition}`, topic, String(partition))
  }
  const taken = {
    code: 'CONFLICT',
    retryable: false,
    message: expect.stringMatching(/super stream.* transport rabbitmq-stream .*prefix or virtual host/),
  }
  for (const provision of PROVISIONS) {
    await expect(opened(provision).producer(topic).init(), provision).rejects.toMatchObject(taken)
    await expect(opened(provision).consumer(topic, { group: 'g' }).init(), provision).rejects.toMatchObject(taken)
  }
  await expect(opened('create').producer(topic, { partitions: 2 }).init()).rejects.toMatchObject(taken)
  await expect((await channel()).checkQueue(`${topic}-0`), 'nothing was changed').resolves.toMatchObject({})
})

test.each(['topic', 'fanout', 'direct'])(
  "a foreign %s exchange of the topic's name is a conflict that says so",
  async (type) => {
    const topic = uniqueName('foreign')
    await (await channel()).assertExchange(topic, type, { durable: true })
    onTestFinished(async () => void (await (await channel()).deleteExchange(topic)))
    for (const provision of PROVISIONS)
      await expect(opened(provision).producer(topic).init(), provision).rejects.toMatchObject({
        code: 'CONFLICT',
        retryable: false,
        message: expect.stringMatching(/another client's.*prefix or virtual host/),
      })
  },
)

test.each([
  ['others', 'direct'],
  ['g:members', 'direct'],
])('a foreign exchange named <topic>:%s is a conflict that names it', async (suffix, type) => {
  const topic = uniqueName('beside')
  await (await channel()).assertExchange(`${topic}:${suffix}`, type, { durable: true })
  onTestFinished(async () => void (await (await channel()).deleteExchange(`${topic}:${suffix}`)))
  const transport = opened('create')
  onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec(topic)))
  await expect(transport.consumer(topic, { group: 'g' }).init()).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringMatching(new RegExp(`exchange '${topic}:${suffix}'.*prefix or virtual host`)),
  })
})

test.each(['classic', 'stream'])("a foreign %s queue of the group's name is a conflict that names it", async (type) => {
  const topic = uniqueName('queue')
  await (await channel()).assertQueue(`${topic}:g:0`, { durable: true, arguments: { 'x-queue-type': type } })
  onTestFinished(async () => void (await (await channel()).deleteQueue(`${topic}:g:0`)))
  const transport = opened('create')
  onTestFinished(() => transport.admin.deleteTopic(transport.topicSpec(topic)))
  await expect(transport.consumer(topic, { group: 'g' }).init()).rejects.toMatchObject({
    code: 'CONFLICT',
    message: expect.stringContaining(`queue '${topic}:g:0'`),
  })
})
