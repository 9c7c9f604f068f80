import kafka from '@streamswitch/kafka'
import { type Consumer, Kafka, logLevel, Partitioners } from 'kafkajs'
import {
  type Case,
  type Comparison,
  CountingHandler,
  concurrently,
  freshName,
  IN_FLIGHT,
  type Measured,
  newMessage,
  stopwatch,
  timed,
} from '../measuring/case.js'
import { consumeCase, produceCase } from '../streamswitch.js'
import { kafkaConsumerPerformance, kafkaProducerPerformance } from '../tools/kafka-performance.js'

const PARTITIONS = 4
const BATCH = IN_FLIGHT / PARTITIONS
const MESSAGES = 200_000
/** A record with id and timestamp in its headers, as Streamswitch's have: both sides carry the same. */
const message = () => {
  const { id, timestamp, payload } = newMessage()
  return { value: payload, headers: { id, timestamp: String(timestamp) } }
}
const BATCHES = `kafkajs by hand, tuned (idempotent, sendBatch of ${BATCH}, one in flight per partition)`
const EACH_BATCH = 'kafkajs by hand, tuned (eachBatch, all partitions at once, commit per batch)'

/** kafkajs by hand: one awaited send or commit per message, and the best loop that keeps the same guarantees. */
export function kafkaComparisons(url: string): Comparison[] {
  const { host } = new URL(url)
  const client = new Kafka({ clientId: 'bench', brokers: [host], logLevel: logLevel.NOTHING })
  const ours = { adapter: kafka, url, messages: MESSAGES, partitions: PARTITIONS }
  return [
    {
      title: `Kafka, produce to ${PARTITIONS} partitions`,
      about:
        'acks=all, idempotent but for the naive loop, no compression, resolved by the answer of the broker. Every record has an id and a timestamp in its headers.',
      reference: BATCHES,
      cases: [
        naiveProduce(client),
        tunedProduce(client),
        produceCase(ours),
        kafkaProducerPerformance(host, (body) => withTopic(client, body)),
      ],
    },
    {
      title: `Kafka, consume a backlog of ${PARTITIONS} partitions`,
      about:
        'Every record has an id and a timestamp in its headers; offsets are committed after handling. The clock runs from the first handled message until the last commit is answered.',
      reference: EACH_BATCH,
      cases: [
        naiveConsume(client),
        tunedConsume(client),
        consumeCase(ours),
        kafkaConsumerPerformance(host, (body) => withTopic(client, body)),
      ],
    },
  ]
}

async function withTopic(client: Kafka, body: (topic: string) => Promise<Measured>): Promise<Measured> {
  const admin = client.admin()
  await admin.connect()
  const topic = freshName()
  await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }], waitForLeaders: true })
  try {
    return await body(topic)
  } finally {
    await admin.deleteTopics({ topics: [topic] })
    await admin.disconnect()
  }
}

async function produce(client: Kafka, topic: string, messages: number): Promise<Measured> {
  const producer = client.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const perPartition = Math.ceil(messages / PARTITIONS / BATCH)
  const lane = async (partition: number): Promise<void> => {
    for (let index = 0; index < perPartition; index += 1) {
      const messages = Array.from({ length: BATCH }, () => ({ ...message(), partition }))
      await producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages }] })
    }
  }
  const measured = await timed(() => Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => lane(partition))))
  await producer.disconnect()
  return measured
}

function naiveProduce(client: Kafka): Case {
  return {
    name: 'kafkajs, naive (await each send)',
    messages: 1_500,
    run: (messages) =>
      withTopic(client, async (topic) => {
        const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner })
        await producer.connect()
        const measured = await timed(() =>
          concurrently(messages, 1, () => producer.send({ topic, acks: -1, messages: [message()] })),
        )
        await producer.disconnect()
        return measured
      }),
  }
}

function tunedProduce(client: Kafka): Case {
  return {
    name: BATCHES,
    messages: MESSAGES,
    run: (messages) => withTopic(client, (topic) => produce(client, topic, messages)),
  }
}

interface Progress {
  /** The first message is about to be handled. */
  begun(): void
  /** So many more are handled and committed. */
  done(count: number): void
}

/** Consumes a backlog, from the first handled message until everything is committed. */
function consume(client: Kafka, start: (consumer: Consumer, progress: Progress) => Promise<void>): Case['run'] {
  return (messages) =>
    withTopic(client, async (topic) => {
      const total = Math.ceil(messages / PARTITIONS / BATCH) * PARTITIONS * BATCH
      await produce(client, topic, total)
      const consumer = client.consumer({
        groupId: freshName(),
        maxWaitTimeInMs: 100,
        maxBytesPerPartition: 1024 * 1024,
      })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      let stop: (() => Measured) | undefined
      const measured = await new Promise<Measured>((resolve, reject) => {
        let left = total
        const progress: Progress = {
          begun: () => {
            stop ??= stopwatch()
          },
          done: (count) => {
            left -= count
            if (left <= 0 && stop !== undefined) resolve(stop())
          },
        }
        start(consumer, progress).catch(reject)
      })
      await consumer.disconnect()
      return measured
    })
}

function naiveConsume(client: Kafka): Case {
  return {
    name: 'kafkajs, naive (eachMessage, commit each)',
    messages: 4_000,
    run: consume(client, (consumer, { begun, done }) =>
      consumer.run({
        autoCommit: false,
        eachMessage: async ({ topic, partition, message }) => {
          begun()
          await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }])
          done(1)
        },
      }),
    ),
  }
}

function tunedConsume(client: Kafka): Case {
  const handler = new CountingHandler()
  return {
    name: EACH_BATCH,
    messages: MESSAGES,
    run: consume(client, (consumer, { begun, done }) =>
      consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: PARTITIONS,
        eachBatch: async ({ batch, resolveOffset }) => {
          begun()
          for (const { value } of batch.messages) if (value !== null) handler.handle(value)
          resolveOffset(batch.lastOffset())
          await consumer.commitOffsets([
            { topic: batch.topic, partition: batch.partition, offset: String(BigInt(batch.lastOffset()) + 1n) },
          ])
          done(batch.messages.length)
        },
      }),
    ),
  }
}
