import type { PartitionLag } from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { COUNT_AFTER, LAG } from './group-scripts.js'
import type { Partition } from './keys.js'

/**
 * Lag of a group in each of some partitions; `undefined` when stream or group are missing. One call, unless Redis
 * doesn't know it.
 */
export async function readLags(
  connection: Connection,
  partitions: readonly Partition[],
  brokerGroup: string,
): Promise<readonly (PartitionLag | undefined)[]> {
  const streams = partitions.map(({ stream }) => stream)
  const replies = (await connection.run(LAG, streams, [brokerGroup])) as readonly ([number, number, Buffer] | null)[]
  return Promise.all(
    partitions.map(async ({ topic, number, stream }, index) => {
      const reply = replies[index]
      if (reply === null || reply === undefined) return undefined
      const [behind, unacked, delivered] = reply
      const undelivered = behind >= 0 ? behind : await countAfter(connection, stream, delivered.toString())
      return { topic, partition: number, lag: undelivered + unacked, unacked }
    }),
  )
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
