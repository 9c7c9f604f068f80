import type { Kafka } from 'kafkajs'
import { makeCluster, withUncommitted } from './kafkajs-internals.js'
import { onceLed } from './once-ready.js'

/** What a partition's log holds: offsets from `first` to below `end`, the high watermark. */
export interface PartitionLog {
  readonly partition: number
  readonly first: number
  readonly end: number
}

/** What the partitions of a topic hold. kafkajs's `fetchTopicOffsets` ends at the last stable offset, below what an open transaction has written. */
export async function readLogs(kafka: Kafka, topic: string, count: number): Promise<PartitionLog[]> {
  const connections = makeCluster(kafka)
  const cluster = withUncommitted(connections)
  const partitions = Array.from({ length: count }, (_, partition) => ({ partition }))
  const offsets = async (fromBeginning: boolean): Promise<Map<number, number>> => {
    const [found] = await onceLed(
      () => cluster.fetchTopicsOffset([{ topic, partitions, fromBeginning }]),
      () => cluster.refreshMetadata(),
    )
    return new Map(found?.partitions.map(({ partition, offset }) => [partition, Number(offset)]))
  }
  try {
    await connections.connect()
    await connections.addMultipleTargetTopics([topic])
    const [first, end] = await Promise.all([offsets(true), offsets(false)])
    return partitions.map(({ partition }) => ({
      partition,
      first: first.get(partition) ?? 0,
      end: end.get(partition) ?? 0,
    }))
  } finally {
    await connections.disconnect()
  }
}
