import { type PartitionLag, StreamError } from '@streamswitch/core/driver'
import { hasCode } from './errors.js'
import { readPosition } from './lease.js'
import { LogFile } from './log.js'
import { logFile, ownerFolder } from './paths.js'
import type { RecordCount } from './record-count.js'
import type { Topic } from './topics.js'

/** Returns what a group has not acked in one partition, whatever the owner. NOT_FOUND when the group doesn't exist. */
export async function partitionLag(
  topic: Topic,
  group: string,
  partition: number,
  count: RecordCount,
): Promise<PartitionLag> {
  const position = await readPosition(ownerFolder(group, partition)).catch((error) => {
    if (!hasCode(error, 'ENOENT')) throw error
    throw new StreamError(`'${topic.name}' has no such group: ${group} is missing`, {
      code: 'NOT_FOUND',
      transport: 'files',
      topic: topic.name,
      cause: error,
    })
  })
  await using log = await LogFile.open(logFile(topic.folder, partition))
  return { topic: topic.name, partition, lag: await count.from(position, log) }
}
