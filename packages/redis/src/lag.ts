import type { PartitionLag } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { COUNT_AFTER, LAG } from './group-scripts.js'
import type { Partition } from './keys.js'

/** Lag of a group in one partition, or `undefined` where stream or group are missing. */
export async function readLag(
  connection: Connection,
  partition: Partition,
  brokerGroup: string,
): Promise<PartitionLag | undefined> {
  const reply = (await connection.run(LAG, [partition.stream], [brokerGroup])) as [number, number, Buffer] | null
  if (reply === null) return undefined
  const [behind, unacked, delivered] = reply
  const undelivered = behind >= 0 ? behind : await countAfter(connection, partition.stream, delivered.toString())
  return { topic: partition.topic, partition: partition.number, lag: undelivered + unacked, unacked }
}

/** Redis doesn't know the lag after deletions and moves: then it is counted. */
async function countAfter(connection: Connection, stream: string, id: string): Promise<number> {
  let total = 0
  for (let from = id; from !== ''; ) {
    const [count, last] = (await connection.run(COUNT_AFTER, [stream], [from])) as [number, Buffer]
    total += count
    from = last.toString()
  }
  return total
}
