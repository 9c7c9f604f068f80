import { mkdir, stat, writeFile } from 'node:fs/promises'
import { type ConsumerSink, type ConsumerSpec, StreamError, startOf, type TopicSpec } from '@streamswitch/core/driver'
import { hasCode } from './errors.js'
import { Lease } from './lease.js'
import { groupFolder, handoverFile, membersFolder, ownerFolder } from './paths.js'
import { positionOf } from './start-position.js'
import { makeFolder, type Topic } from './topics.js'

/** Creates the group if it is new, at the offsets of `from`, or reports that `from` is ignored. */
export async function openGroup(
  topic: Topic,
  topicSpec: TopicSpec,
  spec: ConsumerSpec,
  sink: ConsumerSink,
): Promise<void> {
  const folder = groupFolder(topic.folder, spec.brokerGroup)
  if (!(await exists(folder))) {
    if ((topicSpec.groups ?? topicSpec.provision) !== 'create') {
      throw new StreamError(
        `group '${spec.group}' of '${topic.name}' does not exist, and 'provision' does not allow creating it`,
        {
          code: 'NOT_FOUND',
          transport: 'files',
          topic: topic.name,
        },
      )
    }
    const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition)
    const positions = await Promise.all(
      partitions.map((partition) => positionOf(topic, partition, startOf(spec.from, partition), sink)),
    )
    if (await makeGroup(folder, positions)) return
  }
  if (spec.from !== undefined) sink.startIgnored(topic.name)
}

/** Creates a group whose members start at these offsets. Returns false when another member was faster. */
function makeGroup(folder: string, positions: readonly number[]): Promise<boolean> {
  return makeFolder(folder, async (group) => {
    await mkdir(membersFolder(group))
    await writeFile(handoverFile(group), '')
    for (const [partition, position] of positions.entries()) {
      await mkdir(ownerFolder(group, partition))
      await Lease.prepare(ownerFolder(group, partition), position)
    }
  })
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return false
    throw error
  }
}
