import type { ForeignClient, ForeignRecord } from '@streamswitch/testkit'
import { type ConfirmChannel, type ConsumeMessage, connect } from 'amqplib'
import { connect as connectLibrary } from 'rabbitmq-stream-js-client'
import { CompressionType } from 'rabbitmq-stream-js-client/dist/compression.js'
import { AMQP_URL, BROKER_URL } from './broker.js'

/** amqplib: another library, and another protocol. RabbitMQ offers streams to AMQP 0-9-1 clients as queues. */
export function foreignClient(): ForeignClient {
  return {
    name: 'amqplib',
    raw: 'everything',
    write: (topic, record) =>
      (record.raw?.id?.length ?? 0) > 255
        ? publishWithId(topic, record)
        : withChannel((channel) => publish(channel, topic, record)),
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

/** An id that AMQP 0-9-1 can't hold, by the unpatched stream library. */
async function publishWithId(topic: string, { body, key, raw = {} }: ForeignRecord): Promise<void> {
  const { hostname, port, username, password } = new URL(BROKER_URL)
  const client = await connectLibrary({ hostname, port: Number(port), username, password, vhost: '/' })
  const publisher = await client.declarePublisher({ stream: topic })
  const confirmed = new Promise<void>((resolve) => publisher.on('publish_confirm', () => resolve()))
  await publisher.send(body, {
    messageProperties: { messageId: raw.id ?? '' },
    applicationProperties: { 'streamswitch-key': key ?? '' },
  })
  await publisher.flush()
  await confirmed
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

/** Of the places of an AMQP 0-9-1 message, `timestamp` takes whole numbers alone, and `message-id` 255 bytes. */
async function publish(channel: ConfirmChannel, topic: string, record: ForeignRecord): Promise<void> {
  const { body, key, raw = {} } = record
  const headers: Record<string, string> = { ...raw.headers }
  if (key !== undefined) headers['streamswitch-key'] = key
  const timestamp = Number(raw.timestamp)
  const properties = {
    headers,
    ...(raw.id === undefined ? {} : { messageId: raw.id }),
    ...(Number.isSafeInteger(timestamp) && timestamp >= 0 ? { timestamp } : {}),
  }
  channel.sendToQueue(topic, body, properties)
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
