import { Kafka, logLevel } from 'kafkajs'
import { expect, onTestFinished } from 'vitest'
import { addressOf, KAFKA_URL } from './brokers.js'
import { WAIT } from './recipe.js'

const PARTITIONS = 4

type Administrator = ReturnType<Kafka['admin']>

async function administer<T>(work: (admin: Administrator) => Promise<T>): Promise<T> {
  const admin = new Kafka({ brokers: [addressOf(KAFKA_URL)], logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Makes a topic as an operator does. Deleted once the test has ended, with those that are named after it. */
export async function makeTopic(topic: string): Promise<void> {
  onTestFinished(() =>
    administer(async (admin) => {
      const topics = (await admin.listTopics()).filter((name) => name === topic || name.startsWith(`${topic}.`))
      await admin.deleteTopics({ topics })
    }),
  )
  // The second one is where some clients await replies.
  const topics = [topic, `${topic}.reply`].map((name) => ({ topic: name, numPartitions: PARTITIONS }))
  await administer((admin) => admin.createTopics({ topics }))
}

/** Resolves once a group has committed everything that its topic holds. */
export async function nothingPending(topic: string, groupId: string): Promise<void> {
  await administer(async (admin) => {
    const pending = async (): Promise<number> => {
      const ends = await admin.fetchTopicOffsets(topic)
      const groups = await admin.fetchOffsets({ groupId, topics: [topic] })
      const committed = new Map(groups[0]?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
      return ends.reduce(
        (sum, { partition, high }) => sum + Number(high) - Math.max(0, committed.get(partition) ?? 0),
        0,
      )
    }
    await expect.poll(pending, WAIT).toBe(0)
  })
}

/** Resolves once a group has so many members, and each knows its partitions. */
export async function stableWith(group: string, members: number): Promise<void> {
  await administer(async (admin) => {
    const state = async () => {
      const description = (await admin.describeGroups([group])).groups[0]
      return `${description?.state} ${description?.members.length}`
    }
    await expect.poll(state, WAIT).toBe(`Stable ${members}`)
  })
}

/** Partitions of the records of a topic, by key. */
export async function partitionsByKey(topic: string): Promise<Map<string, Set<number>>> {
  const kafka = new Kafka({ brokers: [addressOf(KAFKA_URL)], logLevel: logLevel.NOTHING })
  const total = await administer(async (admin) =>
    (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0),
  )
  const consumer = kafka.consumer({ groupId: `reader-of-${topic}` })
  const partitions = new Map<string, Set<number>>()
  let read = 0
  await consumer.connect()
  try {
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        const key = String(message.key)
        partitions.set(key, (partitions.get(key) ?? new Set()).add(partition))
        read += 1
      },
    })
    await expect.poll(() => read, WAIT).toBe(total)
  } finally {
    await consumer.disconnect()
  }
  return partitions
}
