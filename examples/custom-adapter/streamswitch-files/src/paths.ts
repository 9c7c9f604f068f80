import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

// Names are those on the broker, percent-encoded, so that none of them can leave its folder. What is being created or
// deleted has a `+` before its name, which encoded names never have.

/** `<folder>/<topic>`: everything of one topic. */
export function topicFolder(root: string, brokerTopic: string): string {
  return join(root, encodeURIComponent(brokerTopic))
}

/** The number of partitions, as JSON. */
export function topicFile(topic: string): string {
  return join(topic, 'topic.json')
}

/** The records of a partition. */
export function logFile(topic: string, partition: number): string {
  return join(topic, `${partition}.log`)
}

/** The writers' lease of a partition, which stores where the last complete record ends. */
export function writerFolder(topic: string, partition: number): string {
  return join(topic, 'writers', String(partition))
}

/** `<topic>/groups/<group>`: everything of one group. */
export function groupFolder(topic: string, brokerGroup: string): string {
  return join(topic, 'groups', encodeURIComponent(brokerGroup))
}

/** The owners' lease of a partition in a group, which stores what is acked. */
export function ownerFolder(group: string, partition: number): string {
  return join(group, String(partition))
}

/** One file per member, touched as long as it lives. */
export function membersFolder(group: string): string {
  return join(group, 'members')
}

/** Changed when a member joins, leaves or releases a partition: what members watch. */
export function handoverFile(group: string): string {
  return join(group, 'handover')
}

/** Returns a unique name next to `path`. */
export function temporaryName(folder: string): string {
  return join(folder, `+${randomBytes(9).toString('base64url')}`)
}
