import kafkajs, { type GroupMemberAssignment, type PartitionAssigner, type GroupMember as Subscriber } from 'kafkajs'
import { ByteReader } from './byte-reader.js'
import { protocolError } from './errors.js'
import type { Cluster } from './kafkajs-internals.js'

const { MemberAssignment, MemberMetadata } = kafkajs.AssignerProtocol

/**
 * Format of what members send each other: the consumer protocol's first version, which every client reads and the only
 * one that kafkajs writes.
 */
const PROTOCOL_VERSION = 0

/** Distributes partitions: per member, its partitions of each topic. Every subscriber has an entry. */
type Spread = (
  subscribers: ReadonlyMap<string, readonly string[]>,
  partitions: ReadonlyMap<string, number>,
) => Map<string, Record<string, number[]>>

/**
 * Distributes each topic over the members that subscribe to it, in contiguous ranges: as Java's `RangeAssignor`, under
 * its name, so that a group may contain loops over different topics, and Java or librdkafka consumers. (kafkajs's own
 * assigner gives every member only the topics of the group's leader.)
 */
const rangeAssigner = assigner('range', assignRanges)

/**
 * Assigns the partitions of all topics to the members in turn: as `RoundRobinAssignor` of Java and of aiokafka, its
 * default.
 */
const roundRobinAssigner = assigner('roundrobin', assignInTurn)

/**
 * The strategies that a member offers, the preferred one first. The group uses one that all of its members offer:
 * groups of Streamswitch loops `range`, with members that know only `roundrobin` that one.
 */
export const ASSIGNERS: readonly PartitionAssigner[] = [rangeAssigner, roundRobinAssigner]

function assigner(name: string, spread: Spread): PartitionAssigner {
  return ({ cluster }) => ({
    name,
    version: PROTOCOL_VERSION,
    protocol: ({ topics }) => ({
      name,
      metadata: MemberMetadata.encode({ version: PROTOCOL_VERSION, topics, userData: Buffer.alloc(0) }),
    }),
    assign: async ({ members }): Promise<GroupMemberAssignment[]> => {
      const subscribers = subscribersByTopic(members)
      const counts = await countPartitions(cluster as unknown as Cluster, [...subscribers.keys()])
      const assignment = spread(subscribers, counts)
      return members.map(({ memberId }) => ({
        memberId,
        memberAssignment: MemberAssignment.encode({
          version: PROTOCOL_VERSION,
          assignment: assignment.get(memberId) ?? {},
          userData: Buffer.alloc(0),
        }),
      }))
    },
  })
}

/** Partitions per member and topic: the first members get one more when the number isn't divisible. */
export function assignRanges(
  subscribers: ReadonlyMap<string, readonly string[]>,
  partitions: ReadonlyMap<string, number>,
): Map<string, Record<string, number[]>> {
  const assignment = new Map<string, Record<string, number[]>>()
  for (const [topic, members] of subscribers) {
    const count = partitions.get(topic) ?? 0
    const share = Math.floor(count / members.length)
    const extra = count % members.length
    let next = 0
    for (const [index, member] of [...members].sort().entries()) {
      const size = share + (index < extra ? 1 : 0)
      const own = assignment.get(member) ?? {}
      if (size > 0) own[topic] = Array.from({ length: size }, (_, offset) => next + offset)
      assignment.set(member, own)
      next += size
    }
  }
  return assignment
}

/**
 * Partitions per member and topic, one after the other: topics and members by name, members that don't subscribe to a
 * topic are skipped.
 */
export function assignInTurn(
  subscribers: ReadonlyMap<string, readonly string[]>,
  partitions: ReadonlyMap<string, number>,
): Map<string, Record<string, number[]>> {
  const members = [...new Set([...subscribers.values()].flat())].sort()
  const assignment = new Map<string, Record<string, number[]>>(members.map((member) => [member, {}]))
  let turn = 0
  for (const topic of [...subscribers.keys()].sort()) {
    const interested = new Set(subscribers.get(topic))
    for (let partition = 0; partition < (partitions.get(topic) ?? 0); partition += 1) {
      while (!interested.has(members[turn % members.length] as string)) turn += 1
      const own = assignment.get(members[turn % members.length] as string) as Record<string, number[]>
      own[topic] ??= []
      own[topic].push(partition)
      turn += 1
    }
  }
  return assignment
}

/**
 * Returns the subscribers of each topic, by each member's own metadata, also those of other clients. A member whose
 * metadata can't be parsed subscribes to none.
 */
export function subscribersByTopic(members: readonly Subscriber[]): Map<string, string[]> {
  const subscribers = new Map<string, string[]>()
  for (const { memberId, memberMetadata } of members) {
    for (const topic of topicsOf(memberMetadata)) {
      const list = subscribers.get(topic)
      if (list === undefined) subscribers.set(topic, [memberId])
      else list.push(memberId)
    }
  }
  return subscribers
}

/**
 * The topics of a member's metadata, each once (Kafka protocol guide, "Group Membership API": version, topics).
 * kafkajs's decoder allocates as many as the metadata claim, and fails when they end early: one such member would keep
 * the whole group from being assigned.
 */
function topicsOf(memberMetadata: Buffer): ReadonlySet<string> {
  const topics = new Set<string>()
  try {
    const reader = new ByteReader(memberMetadata)
    reader.int16()
    for (let count = reader.int32(); count > 0; count -= 1) topics.add(reader.text(reader.int16()))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    return new Set()
  }
  return topics
}

/**
 * Returns the partition counts of topics, some of which this member may not use: those must not stay among its
 * cluster's topics, whose metadata can't be fetched any more once one of them is deleted. A topic that doesn't exist
 * has none.
 */
async function countPartitions(cluster: Cluster, topics: readonly string[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const topic of topics) {
    const own = cluster.targetTopics.has(topic)
    try {
      await cluster.addMultipleTargetTopics([topic])
      counts.set(topic, cluster.findTopicPartitionMetadata(topic).length)
    } catch (error) {
      if (protocolError(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
    } finally {
      if (!own) cluster.targetTopics.delete(topic)
    }
  }
  return counts
}
