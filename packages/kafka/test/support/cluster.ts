import { Transport } from '@streamswitch/core'
import kafkajs, { type Admin } from 'kafkajs'
import { onTestFinished } from 'vitest'
import kafka from '../../src/index.js'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** A transport to a cluster, closed with the test. */
export function openOn(url: string, options: Readonly<Record<string, unknown>> = {}): Transport {
  const transport = new Transport(kafka, url, { environment: {}, logger: quiet, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return transport
}

/** Runs calls of a client that is not Streamswitch's. */
async function administer<T>(url: string, work: (admin: Admin) => Promise<T>): Promise<T> {
  const brokers = url.replace('kafka://', '').split(',')
  const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}

/** Makes a topic whose partitions have one replica each: partition `n` on the node with the `n`th id. */
export function placeTopic(url: string, topic: string, nodes: readonly number[]): Promise<boolean> {
  const replicaAssignment = nodes.map((node, partition) => ({ partition, replicas: [node] }))
  return administer(url, (admin) =>
    admin.createTopics({ topics: [{ topic, numPartitions: -1, replicationFactor: -1, replicaAssignment }] }),
  )
}

/** The id of the node that leads the first partition of a topic. */
export function leaderOf(url: string, topic: string): Promise<number> {
  return administer(url, async (admin) => {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions[0]?.leader ?? -1
  })
}
