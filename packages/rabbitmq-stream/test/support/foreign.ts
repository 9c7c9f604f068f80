import type { ForeignClient, ForeignRecord } from '@streamswitch/testkit'
import { type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { connect as connectLibrary } from 'rabbitmq-stream-js-client'
import { CompressionType } from 'rabbitmq-stream-js-client/dist/compression.js'
import { AMQP_URL, BROKER_URL } from './broker.js'

/** amqplib: another library, and another protocol. RabbitMQ offers streams to AMQP 0-9-1 clients as queues. */
export function foreignClient(): ForeignClient {
  return {
    name: 'amqplib',
    write: (topic, { body, key }) => withChannel((channel) => publish(channel, topic, body, key)),
    read: (topic, count) => withChannel((channel) => consume(channel, topic, count)),
  }
}

/** Publishes to the stream of a topic with one partition. */
export async function publishForeign(
  topic: string,
  messages: readonly { body: Buffer; headers?: Record<string, unknown> }[],
): Promise<void> {
  await withChannel(async (channel) => {
    for (const { body, headers } of messages) channel.sendToQueue(topic, body, { headers })
    await channel.waitForConfirms()
  })
}

/** Publishes to the exchange of a super stream. */
export async function publishToExchange(topic: string, routingKey: string, body: Buffer): Promise<void> {
  await withChannel(async (channel) => {
    channel.publish(topic, routingKey, body)
    await channel.waitForConfirms()
  })
}

/**
 * The unpatched library, as a producer of somebody else's: batches of sub-entries, compressed and not, each after a single message.
 * Their numbers count from 0.
 */
export async function publishByLibrary(topic: string, batches: number, size: number): Promise<void> {
  const { hostname, port, username, password } = new URL(BROKER_URL)
  const client = await connectLibrary({ hostname, port: Number(port), username, password, vhost: '/' })
  const publisher = await client.declarePublisher({ stream: topic })
  for (let batch = 0; batch < batches; batch += 1) {
    const first = batch * (size + 1)
    await publisher.send(Buffer.from(String(first)))
    await publisher.flush()
    const entries = Array.from({ length: size }, (_, index) => ({ content: Buffer.from(String(first + 1 + index)) }))
    await publisher.sendSubEntries(entries, batch % 2 === 0 ? CompressionType.Gzip : CompressionType.None)
  }
  await client.close()
}

async function withChannel<T>(work: (channel: ConfirmChannel) => Promise<T>): Promise<T> {
  const connection = await connect(AMQP_URL)
  try {
    return await work(await connection.createConfirmChannel())
  } finally {
    await connection.close()
  }
}

async function publish(channel: ConfirmChannel, topic: string, body: Buffer, key: string | undefined): Promise<void> {
  channel.sendToQueue(topic, body, { headers: key === undefined ? {} : { 'streamswitch-key': key } })
  await channel.waitForConfirms()
}

async function consume(channel: ConfirmChannel, topic: string, count: number): Promise<readonly ForeignRecord[]> {
  await channel.prefetch(count)
  const records: ForeignRecord[] = []
  await new Promise<void>((resolve, reject) => {
    const take = (message: ConsumeMessage | null): void => {
      if (message === null) return reject(new Error('the stream is gone'))
      channel.ack(message)
      const key = message.properties.headers?.['streamswitch-key'] as string | undefined
      records.push({ body: message.content, key })
      if (records.length === count) resolve()
    }
    channel.consume(topic, take, { arguments: { 'x-stream-offset': 'first' } }).catch(reject)
  })
  return records
}
