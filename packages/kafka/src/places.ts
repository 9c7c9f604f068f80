import type { ConsumerGroup, OffsetManager } from './kafkajs-internals.js'

/** One partition, under the topic's name on the broker. */
export interface Place {
  readonly topic: string
  readonly partition: number
}

/**
 * A member's assignment in one generation of the group. Commits made with it are refused by the broker once the
 * generation is over.
 */
export interface Generation {
  readonly id: number
  readonly partitions: readonly Place[]
  commit(positions: readonly (Place & { readonly offset: number; readonly metadata: string })[]): Promise<void>
}

/** Combines topic and partition into one string. */
export function placeKey({ topic, partition }: Place): string {
  return `${topic}/${partition}`
}

/** The same, topic by topic. */
export function byTopic(
  places: readonly Place[],
): { readonly topic: string; readonly partitions: { readonly partition: number }[] }[] {
  const topics = new Map<string, { readonly partition: number }[]>()
  for (const { topic, partition } of places) {
    const partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, [{ partition }])
    else partitions.push({ partition })
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}

/** The generation that a group has just joined. */
export function generationOf(group: ConsumerGroup, partitions: readonly Place[]): Generation {
  const offsets = group.offsetManager as OffsetManager
  return {
    id: group.generationId ?? 0,
    partitions,
    commit: (positions) =>
      offsets.commitOffsets({
        topics: [...new Set(positions.map(({ topic }) => topic))].map((topic) => ({
          topic,
          partitions: positions
            .filter((one) => one.topic === topic)
            .map(({ partition, offset, metadata }) => ({ partition, offset: String(offset), metadata })),
        })),
      }),
  }
}
