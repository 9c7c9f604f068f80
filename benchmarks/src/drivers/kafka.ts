import kafka from '@streamswitch/kafka'
import { type Consumer, Kafka, logLevel, Partitioners } from 'kafkajs'
import { type Case, type Comparison, concurrently, freshName, PAYLOAD, timed } from '../harness.js'
import { consumeCase, produceCase } from '../streamswitch.js'

const PARTITIONS = 4
const BATCH = 500
const MESSAGE = { value: PAYLOAD }

/** kafkajs by hand: one awaited send per message, and the best loop that keeps the same guarantees. */
export function kafkaComparisons(url: string): Comparison[] {
  const { host } = new URL(url)
  const client = new Kafka({ clientId: 'bench', brokers: [host], logLevel: logLevel.NOTHING })
  const ours = { adapter: kafka, url, messages: 60_000, partitions: PARTITIONS }
  return [
    {
      title: `Kafka, produce to ${PARTITIONS} partitions`,
      reference: 'kafkajs, tuned (sendBatch of 500, one in flight per partition)',
      cases: [naiveProduce(client), tunedProduce(client), produceCase(ours)],
    },
    {
      title: `Kafka, consume a backlog of ${PARTITIONS} partitions`,
      reference: 'kafkajs, tuned (eachBatch, all partitions at once, commit per batch)',
      cases: [naiveConsume(client), tunedConsume(client), consumeCase(ours)],
    },
  ]
}

async function withTopic(client: Kafka, body: (topic: string) => Promise<number>): Promise<number> {
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

async function produce(client: Kafka, topic: string, messages: number): Promise<number> {
  const producer = client.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const perPartition = Math.ceil(messages / PARTITIONS / BATCH)
  const lane = async (partition: number): Promise<void> => {
    const batch = Array.from({ length: BATCH }, () => ({ ...MESSAGE, partition }))
    for (let index = 0; index < perPartition; index += 1)
      await producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages: batch }] })
  }
  const seconds = await timed(() => Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => lane(partition))))
  await producer.disconnect()
  return seconds
}

function naiveProduce(client: Kafka): Case {
  return {
    name: 'kafkajs, naive (await each send)',
    messages: 1_500,
    run: (messages) =>
      withTopic(client, async (topic) => {
        const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner })
        await producer.connect()
        const seconds = await timed(() =>
          concurrently(messages, 1, () => producer.send({ topic, acks: -1, messages: [MESSAGE] })),
        )
        await producer.disconnect()
        return seconds
      }),
  }
}

function tunedProduce(client: Kafka): Case {
  return {
    name: 'kafkajs, tuned (sendBatch of 500, one in flight per partition)',
    messages: 60_000,
    run: (messages) => withTopic(client, (topic) => produce(client, topic, messages)),
  }
}

/** Consumes a backlog; `start` begins the run and resolves when everything is handled and committed. */
function consume(
  client: Kafka,
  start: (consumer: Consumer, topic: string, messages: number) => Promise<void>,
): Case['run'] {
  return (messages) =>
    withTopic(client, async (topic) => {
      const total = Math.ceil(messages / PARTITIONS / BATCH) * PARTITIONS * BATCH
      await produce(client, topic, total)
      const consumer = client.consumer({
        groupId: freshName(),
        maxWaitTimeInMs: 100,
        maxBytesPerPartition: 4 * 1024 * 1024,
      })
      await consumer.connect()
      await consumer.subscribe({ topic, fromBeginning: true })
      const seconds = await timed(() => start(consumer, topic, total))
      await consumer.disconnect()
      return (seconds * messages) / total
    })
}

function naiveConsume(client: Kafka): Case {
  return {
    name: 'kafkajs, naive (eachMessage, commit each)',
    messages: 4_000,
    run: consume(client, async (consumer, _topic, messages) => {
      let handled = 0
      await new Promise<void>((resolve, reject) => {
        const eachMessage = async ({
          topic,
          partition,
          message,
        }: {
          topic: string
          partition: number
          message: { offset: string }
        }): Promise<void> => {
          await consumer.commitOffsets([{ topic, partition, offset: String(BigInt(message.offset) + 1n) }])
          handled += 1
          if (handled === messages) resolve()
        }
        consumer.run({ autoCommit: false, eachMessage }).catch(reject)
      })
    }),
  }
}

function tunedConsume(client: Kafka): Case {
  return {
    name: 'kafkajs, tuned (eachBatch, all partitions at once, commit per batch)',
    messages: 60_000,
    run: consume(client, async (consumer, _topic, messages) => {
      let handled = 0
      await new Promise<void>((resolve, reject) => {
        consumer
          .run({
            autoCommit: false,
            eachBatchAutoResolve: false,
            partitionsConsumedConcurrently: PARTITIONS,
            eachBatch: async ({ batch, resolveOffset }) => {
              resolveOffset(batch.lastOffset())
              await consumer.commitOffsets([
                { topic: batch.topic, partition: batch.partition, offset: String(BigInt(batch.lastOffset()) + 1n) },
              ])
              handled += batch.messages.length
              if (handled >= messages) resolve()
            },
          })
          .catch(reject)
      })
    }),
  }
}
