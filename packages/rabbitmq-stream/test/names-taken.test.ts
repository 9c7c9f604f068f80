import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { openStream, unique } from './support/bench.js'
import { AMQP_URL } from './support/broker.js'

async function channel() {
  const connection = await connect(AMQP_URL)
  onTestFinished(() => connection.close())
  return connection.createChannel()
}

const TAKEN = {
  code: 'CONFLICT',
  retryable: false,
  message: expect.stringMatching(/transport amqp .*prefix or virtual host/),
}

test('a topic of the transport amqp in the same virtual host: the error names it and the way out', async () => {
  const topic = unique('taken')
  const amqp = await channel()
  await amqp.assertExchange(`${topic}:others`, 'fanout', { durable: true })
  await amqp.assertExchange(topic, 'direct', { durable: true, alternateExchange: `${topic}:others` })
  for (let partition = 0; partition < 4; partition += 1) {
    const queue = `${topic}:g:${partition}`
    await amqp.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    await amqp.bindQueue(queue, topic, String(partition))
    onTestFinished(async () => void (await (await channel()).deleteQueue(queue)))
  }
  onTestFinished(async () => void (await (await channel()).deleteExchange(topic)))
  const transport = openStream()
  await expect(transport.producer(topic, { partitions: 4 }).init()).rejects.toMatchObject(TAKEN)
  await expect(transport.consumer(topic, { group: 'g', partitions: 4 }).init()).rejects.toMatchObject(TAKEN)
})

test('a queue of the name that is no stream is a conflict, not a missing topic', async () => {
  const topic = unique('queue')
  const amqp = await channel()
  await amqp.assertQueue(topic, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  onTestFinished(async () => void (await (await channel()).deleteQueue(topic)))
  await expect(openStream().producer(topic).init()).rejects.toMatchObject(TAKEN)
})

test('streams in which the transport amqp keeps its own data are no topics', async () => {
  const amqp = await channel()
  const prefix = `${unique('p')}.`
  const names = [
    'streamswitch:topic-registry',
    'streamswitch:dropped',
    'orders:partitions',
    'orders:g:dropped',
    'orders',
  ]
  for (const name of names) {
    await amqp.assertQueue(prefix + name, { durable: true, arguments: { 'x-queue-type': 'stream' } })
    onTestFinished(async () => void (await (await channel()).deleteQueue(prefix + name)))
  }
  const topics = () => openStream({ prefix }).admin.topics()
  await expect.poll(topics, { timeout: 20_000 }).toEqual([{ topic: 'orders', partitions: 1 }])
})
