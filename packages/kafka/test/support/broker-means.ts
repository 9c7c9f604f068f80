import type { BrokerMeans } from '@streamswitch/testkit'
import type { BrokerHandle } from '@streamswitch/testkit/brokers'
import kafkajs, { type Admin } from 'kafkajs'

/** What can be done to a Kafka by its own administration. It knows no alarm that makes it refuse messages: it is frozen (SIGSTOP). */
export function kafkaMeans(broker: () => BrokerHandle): BrokerMeans {
  const administer = async (work: (admin: Admin) => Promise<unknown>): Promise<void> => {
    const brokers = [broker().url.replace('kafka://', '')]
    const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()
    await admin.connect()
    try {
      await work(admin)
    } finally {
      await admin.disconnect()
    }
  }
  return {
    exhaust: async () => broker().pause(),
    relieve: async () => broker().resume(),
    exhaustedAltogether: true,
    deleteGroup: ({ group }) => administer((admin) => admin.deleteGroups([group])),
    groupsIdle: true,
    trim: ({ topic }) =>
      administer(async (admin) => {
        const offsets = await admin.fetchTopicOffsets(topic)
        const partitions = offsets.map(({ partition, high }) => ({ partition, offset: String(Number(high) - 1) }))
        await admin.deleteTopicRecords({ topic, partitions })
      }),
    addPartitions: ({ topic }, count) =>
      administer((admin) => admin.createPartitions({ topicPartitions: [{ topic, count }] })),
    exhaustedMs: 20_000,
    changedMs: 20_000,
  }
}
