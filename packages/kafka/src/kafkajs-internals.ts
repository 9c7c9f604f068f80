import { createRequire } from 'node:module'

/**
 * Those parts of kafkajs 2.2.4 that its types don't show and that this adapter relies on. Nothing else may reach into kafkajs:
 * a new version of it is checked against this file and `kafkajs-patches.ts`.
 */

export interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

export interface CommittedPartition {
  readonly partition: number
  /** `-1` when nothing was committed. */
  readonly offset: string
  readonly metadata: string | null
}

export interface Coordinator {
  heartbeat(request: { groupId: string; memberId: string; groupGenerationId: number }): Promise<unknown>
  offsetFetch(request: {
    groupId: string
    topics: readonly { topic: string; partitions: readonly { partition: number }[] }[]
  }): Promise<{
    readonly responses: readonly { readonly topic: string; readonly partitions: readonly CommittedPartition[] }[]
  }>
}

export interface OffsetManager {
  getCoordinator(): Promise<Coordinator>
  /** Commits under the generation that this object was made for. */
  commitOffsets(request: {
    topics: readonly { topic: string; partitions: readonly { partition: number; offset: string; metadata: string }[] }[]
  }): Promise<void>
}

export interface Cluster {
  findGroupCoordinator(request: { groupId: string }): Promise<Coordinator>
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number }[]
  /** Topics whose metadata is kept up to date. */
  readonly targetTopics: Set<string>
  /** Adds to them; those that are new are looked up. */
  addMultipleTargetTopics(topics: readonly string[]): Promise<void>
  refreshMetadata(): Promise<void>
  fetchTopicsOffset(
    topics: readonly {
      topic: string
      partitions: readonly { partition: number }[]
      fromBeginning?: boolean
      fromTimestamp?: number
    }[],
  ): Promise<
    readonly {
      readonly topic: string
      readonly partitions: readonly { readonly partition: number; readonly offset: string }[]
    }[]
  >
}

/** One member's part in a group: `src/consumer/consumerGroup.js`. */
export interface ConsumerGroup {
  readonly cluster: Cluster
  readonly groupId: string
  readonly assigners: readonly object[]
  readonly maxWaitTime: number
  memberId: string | null
  generationId: number | null
  coordinator: Coordinator | null
  /** Made anew with each generation. */
  offsetManager: OffsetManager | null
  assigned(): readonly TopicPartitions[]
  pause(partitions: readonly { topic: string; partitions?: readonly number[] }[]): void
  resume(partitions: readonly { topic: string; partitions?: readonly number[] }[]): void
  seek(position: { topic: string; partition: number; offset: string }): void
  joinAndSync(): Promise<void>
  fetch(nodeId: string): Promise<object[]>
  recoverFromOffsetOutOfRange(error: { topic: string; partition: number }): Promise<void>
}

/** The requests of one connection: `src/network/requestQueue/index.js`. */
export interface RequestQueue {
  readonly pending: readonly unknown[]
  readonly throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
  scheduleCheckPendingRequests(): void
}

const load = createRequire(import.meta.url)

export const consumerGroupPrototype = (load('kafkajs/src/consumer/consumerGroup.js') as { prototype: ConsumerGroup })
  .prototype
export const requestQueuePrototype = (load('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue })
  .prototype
