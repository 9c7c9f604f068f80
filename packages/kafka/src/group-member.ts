import { atMost, type MeasuredFetch, withSignal } from '@streamswitch/core/driver'
import kafkajs, { type Consumer, type KafkaMessage, type PartitionAssigner } from 'kafkajs'
import { ASSIGNERS } from './assigners.js'
import type { Unreadable } from './batch-reader.js'
import { protocolError } from './errors.js'
import { FetchWait } from './fetch-wait.js'
import { fetchedBelow, goOnAt, nothingBelow, unreadableIn } from './fetched-batch.js'
import { JoinPatience } from './join-patience.js'
import type { KafkajsClient } from './kafkajs-client.js'
import { type ConsumerGroup, type FetchedMessages, withUncommitted } from './kafkajs-internals.js'
import { GROUP_HOOKS, type GroupHooks } from './kafkajs-patches.js'
import type { MemberMemory } from './member-memory.js'
import { onceLed } from './once-ready.js'
import { leaderlessOf } from './partial-metadata.js'
import { byTopic, type Generation, generationOf, type Place, placeKey } from './places.js'
import type { UnreadablePartitions } from './unreadable-partitions.js'
import { Watchdog } from './watchdog.js'

/** Survives a change of leader or coordinator without leaving the group. */
const MEMBER_RETRY = { retries: 8, initialRetryTime: 100, maxRetryTime: 400 }

/**
 * A heartbeat is sent when a fetch has ended and this share of its interval has passed: otherwise fetches and heartbeats of
 * the same length would miss each other by a millisecond, and every second heartbeat would be skipped.
 */
const DUE = 0.75

/** Maximum wait for leaving cleanly, in milliseconds. */
const DISCONNECT_MS = 4_000

/** An offset of a log. */
type LogPoint = 'earliest' | 'latest' | 'end' | { readonly timestamp: number }

export interface MemberSettings {
  readonly group: string
  readonly topics: readonly string[]
  readonly sessionTimeoutMs: number
  readonly heartbeatIntervalMs: number
  readonly rebalanceTimeoutMs: number
  readonly maxWaitMs: number
  readonly fetchMaxBytes: number
  readonly fetchMaxPartitionBytes: number
  readonly metadataMaxAgeMs: number
  readonly memory: MemberMemory
}

/** Result of one fetch for a partition. */
export interface Fetched {
  readonly messages: readonly KafkaMessage[]
  /** The offset behind it: what is below and not in `messages` is not for consumers. */
  readonly below: number
  /** Up to here the broker is known to have nothing to read, although offsets are in use. */
  readonly nothingBelow: number
  /** What follows and can't be read. */
  readonly unreadable: Unreadable | undefined
}

/** Events of a member for its driver. Awaited if a promise is returned. */
export interface MemberEvents {
  /** The generation ends. `graceful`: it is still valid until the promise resolves. */
  leaving(how: 'graceful' | 'lost'): Promise<void>
  /**
   * A new generation begins; nothing is fetched before the promise resolves. `false`: it ended immediately, another
   * join follows.
   */
  joined(generation: Generation): Promise<boolean>
  /** Returns the offset at which to continue; `undefined` when nothing of it was accepted: it is fetched again. */
  fetched(place: Place, fetched: Fetched): number | undefined
  /** The committed offset of a partition is no longer in the log. */
  outOfRange(place: Place): Promise<void>
  /** The member is unusable. Called once. */
  lost(error: unknown): void
}

/** A kafkajs consumer as one member of a group: joining, fetching, positions, heartbeats. No policy. */
export class GroupMember implements GroupHooks {
  fetchStamp = 0
  readonly #client: KafkajsClient
  readonly #settings: MemberSettings
  readonly #events: MemberEvents
  readonly #consumer: Consumer
  readonly #stamps = new WeakMap<object, number>()
  readonly #fetchWait: FetchWait
  /** Of the fetch that was asked for last. */
  #waitMs: number
  readonly #watchdog: Watchdog
  readonly #joining = new JoinPatience()
  #group: ConsumerGroup | undefined
  #subscribed = false
  #joined = false
  #ended = false
  #reportJoin: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined

  constructor(client: KafkajsClient, settings: MemberSettings, events: MemberEvents) {
    this.#client = client
    this.#settings = settings
    this.#events = events
    this.#fetchWait = new FetchWait(settings.maxWaitMs)
    this.#waitMs = this.#fetchWait.ms
    this.#watchdog = new Watchdog((silentMs) =>
      this.#fail(new Error(`no response from the group's coordinator for ${silentMs} ms`)),
    )
    this.#consumer = client.kafka.consumer({
      groupId: settings.group,
      sessionTimeout: settings.sessionTimeoutMs,
      heartbeatInterval: settings.heartbeatIntervalMs * DUE,
      rebalanceTimeout: settings.rebalanceTimeoutMs,
      maxWaitTimeInMs: settings.maxWaitMs,
      maxBytes: settings.fetchMaxBytes,
      maxBytesPerPartition: settings.fetchMaxPartitionBytes,
      metadataMaxAge: settings.metadataMaxAgeMs,
      allowAutoTopicCreation: false,
      partitionAssigners: this.#assigners(),
      retry: { ...MEMBER_RETRY, restartOnFailure: async () => false },
    })
    this.#consumer.on(this.#consumer.events.CRASH, ({ payload }) => this.#fail(payload.error))
    this.#consumer.on(this.#consumer.events.HEARTBEAT, () => this.#watchdog.alive())
  }

  /** What `open` currently waits for. */
  get waitingFor(): string {
    if (!this.#subscribed) return `the coordinator of group '${this.#settings.group}' to accept the connection`
    return `its first assignment in group '${this.#settings.group}': it is connected, and the other members or the coordinator have not finished the rebalance`
  }

  /**
   * Connects and joins. Resolves when the first assignment has been processed, or the join waits for other members.
   */
  async open(signal: AbortSignal): Promise<void> {
    await withSignal(this.#consumer.connect(), signal)
    await withSignal(this.#consumer.subscribe({ topics: [...this.#settings.topics], fromBeginning: true }), signal)
    this.#subscribed = true
    const joined = new Promise<void>((resolve, reject) => {
      this.#reportJoin = { resolve, reject }
    })
    this.#consumer
      .run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: async (payload) => this.#pump(payload) })
      .catch((error: unknown) => this.#fail(error))
    await withSignal(Promise.race([joined, this.#joining.promise]), signal)
  }

  /** Stops fetching a partition; a fetch in flight may still return. */
  pause({ topic, partition }: Place): void {
    this.#fetchWait.paused(topic, partition)
    this.#group?.pause([{ topic, partitions: [partition] }])
  }

  resume({ topic, partition }: Place): void {
    this.#fetchWait.resumed(topic, partition)
    this.#group?.resume([{ topic, partitions: [partition] }])
  }

  /** Fetches nothing any more. */
  pauseAll(): void {
    this.#group?.pause(this.#settings.topics.map((topic) => ({ topic })))
  }

  /** The next fetch of the partition starts at the offset; what was fetched before is not delivered. */
  seek({ topic, partition }: Place, offset: number): void {
    this.fetchStamp += 1
    this.#group?.seek({ topic, partition, offset: String(offset) })
  }

  /** Stops reading a partition that can't be read yet; {@link seek} and {@link resume} restart it. */
  hold(place: Place): void {
    const { topic, partition } = place
    const known = this.#group?.offsetManager?.committedOffsets()[topic]
    if (known !== undefined) known[partition] ??= '0'
    this.pause(place)
  }

  refreshMetadata(): Promise<void> {
    return this.#live.cluster.refreshMetadata()
  }

  /** True while the broker delays fetches because of a quota: then missing records mean nothing. */
  get isThrottled(): boolean {
    return this.#client.isThrottled
  }

  /** False before the first generation. */
  get isJoined(): boolean {
    return this.#joined
  }

  /** Partitions that can't be read. */
  get unreadable(): UnreadablePartitions {
    return this.#settings.memory.unreadable
  }

  /** Every partition of a topic, whatever its owner. */
  partitionsOf(topic: string): Place[] {
    return this.#live.cluster
      .findTopicPartitionMetadata(topic)
      .map(({ partitionId }) => ({ topic, partition: partitionId }))
  }

  /** Returns what the group has committed; offset -1 when there is nothing. */
  async committed(
    places: readonly Place[],
  ): Promise<Map<string, { readonly offset: number; readonly metadata: string }>> {
    const group = this.#live
    const coordinator = await (group.offsetManager?.getCoordinator() ??
      group.cluster.findGroupCoordinator({ groupId: group.groupId }))
    const { responses } = await coordinator.offsetFetch({ groupId: group.groupId, topics: byTopic(places) })
    const found = new Map<string, { readonly offset: number; readonly metadata: string }>()
    for (const { topic, partitions } of responses) {
      for (const { partition, offset, metadata } of partitions)
        found.set(placeKey({ topic, partition }), { offset: Number(offset), metadata: metadata ?? '' })
    }
    return found
  }

  /**
   * Returns offsets in the log: the first kept, the last stable one (behind which a transaction may be open), the next
   * to be written, or the first at or after a time (-1 when there is none). Those of partitions without leader are
   * omitted.
   */
  async logOffsets(places: readonly Place[], at: LogPoint): Promise<Map<string, number>> {
    const point = typeof at === 'object' ? { fromTimestamp: at.timestamp } : { fromBeginning: at === 'earliest' }
    const found = new Map<string, number>()
    if (places.length === 0) return found
    const { cluster } = this.#live
    const view = at === 'end' ? withUncommitted(cluster) : cluster
    const led = ({ topic, partition }: Place): boolean => !leaderlessOf(cluster, topic).includes(partition)
    const topics = await onceLed(
      () => view.fetchTopicsOffset(byTopic(places.filter(led)).map((topic) => ({ ...topic, ...point }))),
      () => cluster.refreshMetadata(),
    )
    for (const { topic, partitions } of topics) {
      for (const { partition, offset } of partitions) found.set(placeKey({ topic, partition }), Number(offset))
    }
    return found
  }

  /** Leaves the group. Never rejects; bounded. */
  async close(): Promise<void> {
    const failed = this.#ended
    this.#ended = true
    this.#watchdog.stop()
    this.#joining.stop()
    // kafkajs would wait for the fetch in flight first, and the group would wait with it.
    if (!failed && this.#group !== undefined) await atMost(this.#group.leave(), DISCONNECT_MS)
    // It learns later that there is nothing to fetch any more; it is stopped first, so that it doesn't connect again.
    void atMost(this.#consumer.disconnect(), DISCONNECT_MS)
    this.#client.cut()
  }

  // Called by the patched consumer group.

  async beforeJoin(group: ConsumerGroup): Promise<void> {
    if (this.#ended) throw new kafkajs.KafkaJSNonRetriableError('the member is closed')
    this.fetchStamp += 1
    this.#adopt(group)
    this.#watchdog.expect(this.#settings.rebalanceTimeoutMs * 2)
    if (this.#joined) await this.#leave(group)
    this.#watchdog.expect(this.#settings.rebalanceTimeoutMs + this.#settings.sessionTimeoutMs)
    const { generationId } = group
    this.#joining.start(() => group.generationId !== generationId && group.isLeader())
  }

  async afterJoin(group: ConsumerGroup): Promise<void> {
    this.fetchStamp += 1
    if (this.#ended) return
    this.#joined = true
    if (group.memberId !== null) this.#settings.memory.id = group.memberId
    this.#joining.stop()
    this.#fetchWait.clear()
    // Pauses survive a generation in kafkajs.
    group.resume(this.#settings.topics.map((topic) => ({ topic })))
    this.#watchdog.expect(this.#settings.sessionTimeoutMs)
    const partitions = group
      .assigned()
      .flatMap(({ topic, partitions: numbers }) => numbers.map((partition) => ({ topic, partition })))
    try {
      if (await this.#events.joined(generationOf(group, partitions))) this.#reportJoin?.resolve()
    } catch (error) {
      this.#fail(error)
    }
  }

  fetching(): MeasuredFetch {
    this.#waitMs = this.#fetchWait.ms
    return this.#settings.memory.fetchBudget.begin(() => this.#client.arrivedBytes, this.#waitMs)
  }

  fetched(batches: readonly FetchedMessages[], stamp: number): void {
    for (const batch of batches) {
      this.#stamps.set(batch, stamp)
      // kafkajs only passes on partitions with messages.
      const next = batch.messages.length === 0 ? this.#take(batch) : undefined
      if (next !== undefined) goOnAt(batch, next)
    }
  }

  outOfRange(topic: string, partition: number): Promise<void> {
    return this.#events.outOfRange({ topic, partition })
  }

  get #live(): ConsumerGroup {
    if (this.#group === undefined) throw new kafkajs.KafkaJSNonRetriableError('the member has not joined')
    return this.#group
  }

  /** The assigners carry the hooks into the consumer group. */
  #assigners(): PartitionAssigner[] {
    return ASSIGNERS.map((one) => (config) => Object.assign(one(config), { [GROUP_HOOKS]: this as GroupHooks }))
  }

  #adopt(group: ConsumerGroup): void {
    if (this.#group === group) return
    this.#group = group
    const { memory, fetchMaxPartitionBytes } = this.#settings
    group.memberId ??= memory.id ?? null
    // kafkajs requests the partitions in another order each time, so that none is always behind those that use up the
    // budget.
    Object.defineProperties(group, {
      maxWaitTime: { get: () => this.#waitMs },
      maxBytes: { get: () => memory.fetchBudget.bytes },
      maxBytesPerPartition: { get: () => Math.min(fetchMaxPartitionBytes, memory.fetchBudget.bytes) },
    })
  }

  /** Ends the old generation: waits for handlers as long as the broker still counts this member in. */
  async #leave(group: ConsumerGroup): Promise<void> {
    if (!(await this.#stillMember(group))) return this.#events.leaving('lost')
    // kafkajs sends no heartbeats while it waits for this: without them the session would expire.
    const timer = setInterval(
      () => void this.#heartbeat(group).catch(() => {}),
      Math.min(1_000, this.#settings.sessionTimeoutMs / 4),
    )
    try {
      await this.#events.leaving('graceful')
    } finally {
      clearInterval(timer)
    }
  }

  async #stillMember(group: ConsumerGroup): Promise<boolean> {
    if (group.memberId === null) return false
    for (let attempt = 1; attempt <= 2; attempt += 1) {
      try {
        await this.#heartbeat(group)
        return true
      } catch (error) {
        const type = protocolError(error)
        if (type === 'REBALANCE_IN_PROGRESS') return true
        if (type === 'ILLEGAL_GENERATION' || type === 'UNKNOWN_MEMBER_ID') return false
        if (attempt === 1) await this.#findCoordinator(group)
      }
    }
    return false
  }

  /** The coordinator may have moved, or its connection may be lost. */
  async #findCoordinator(group: ConsumerGroup): Promise<void> {
    try {
      group.coordinator = await group.cluster.findGroupCoordinator({ groupId: group.groupId })
    } catch {
      // The heartbeat that follows fails for the same reason.
    }
  }

  async #heartbeat(group: ConsumerGroup): Promise<void> {
    const { coordinator, memberId, generationId, groupId } = group
    if (coordinator === null || memberId === null || generationId === null) return
    await coordinator.heartbeat({ groupId, memberId, groupGenerationId: generationId })
    this.#watchdog.alive()
  }

  #pump({
    batch,
    resolveOffset,
  }: Parameters<NonNullable<Parameters<Consumer['run']>[0]>['eachBatch'] & object>[0]): void {
    if (this.#take(batch as unknown as FetchedMessages) !== undefined) resolveOffset(batch.lastOffset())
  }

  #take(batch: FetchedMessages): number | undefined {
    if (this.#ended || this.#stamps.get(batch) !== this.fetchStamp) return undefined
    return this.#events.fetched(batch, {
      messages: batch.messages as unknown as readonly KafkaMessage[],
      below: fetchedBelow(batch),
      nothingBelow: nothingBelow(batch),
      unreadable: unreadableIn(batch),
    })
  }

  #fail(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    this.#watchdog.stop()
    this.#joining.stop()
    this.#reportJoin?.reject(error)
    this.#events.lost(error)
  }
}
