import type { OutgoingRecord, Retention } from '@streamswitch/core/driver'
import { publisherTaken, topicFull } from './errors.js'
import { Group } from './group.js'
import { Log } from './log.js'
import { partitionOf } from './message.js'

/** One topic of a memory broker. */
export class Topic {
  readonly name: string
  readonly logs: readonly Log[]
  readonly #retention: Retention
  readonly #maxBytes: number
  readonly #groups = new Map<string, Group>()
  /** Names of live producers, and the last sequence stored under each name. */
  readonly #publishers = new Set<string>()
  readonly #sequences = new Map<string, bigint>()
  #turn = 0
  #wakeScheduled = false

  constructor(name: string, partitions: number, retention: Retention, maxBytes: number) {
    this.name = name
    this.logs = Array.from({ length: partitions }, () => new Log())
    this.#retention = retention
    this.#maxBytes = maxBytes
  }

  /** Stores a record. Throws RESOURCE_EXHAUSTED when the topic is full of unacked messages. */
  append(record: OutgoingRecord): { readonly partition: number; readonly offset: number } {
    const partition = record.partition ?? this.#partitionOf(record.key)
    const log = this.logs[partition] as Log
    this.#makeRoom(record.size)
    const offset = log.append(record)
    this.#retain(partition, log)
    this.#scheduleWake()
    return { partition, offset }
  }

  /** True when the publisher has stored this sequence already. */
  isDuplicate(publisher: string, sequence: bigint): boolean {
    const last = this.#sequences.get(publisher)
    return last !== undefined && sequence <= last
  }

  stored(publisher: string, sequence: bigint): void {
    this.#sequences.set(publisher, sequence)
  }

  /** Throws CONFLICT when another live producer uses the name. */
  claimPublisher(name: string): void {
    if (this.#publishers.has(name)) throw publisherTaken(this.name, name)
    this.#publishers.add(name)
  }

  releasePublisher(name: string): void {
    this.#publishers.delete(name)
  }

  /** Every group, by name. */
  get groups(): ReadonlyMap<string, Group> {
    return this.#groups
  }

  group(name: string): Group | undefined {
    return this.#groups.get(name)
  }

  /** Returns the group; creates it if it is new, starting where `startAt` says. */
  ensureGroup(name: string, startAt: (partition: number) => number): Group {
    let group = this.#groups.get(name)
    if (group === undefined) {
      group = new Group(this.name, name, this.logs, startAt)
      this.#groups.set(name, group)
    }
    return group
  }

  #partitionOf(key: string | undefined): number {
    if (this.logs.length === 1) return 0
    if (key !== undefined) return partitionOf(key, this.logs.length)
    this.#turn = (this.#turn + 1) % this.logs.length
    return this.#turn
  }

  /**
   * Returns the offset up to which every group has acked, per partition; 0 without a group, since later groups must see
   * the messages.
   */
  #ackedByAll(partition: number): number {
    let lowest = Number.POSITIVE_INFINITY
    for (const group of this.#groups.values()) lowest = Math.min(lowest, group.partitions[partition]?.committed ?? 0)
    return Number.isFinite(lowest) ? lowest : 0
  }

  #makeRoom(size: number): void {
    const used = (): number => this.logs.reduce((sum, log) => sum + log.bytes, 0)
    if (used() + size <= this.#maxBytes) return
    for (const [partition, log] of this.logs.entries()) log.trim(this.#ackedByAll(partition))
    if (used() + size > this.#maxBytes) throw topicFull(this.name, this.#maxBytes)
  }

  #retain(partition: number, log: Log): void {
    const { maxMessages, maxBytes, maxAgeMs } = this.#retention
    if (maxMessages === undefined && maxBytes === undefined && maxAgeMs === undefined) return
    const acked = this.#groups.size === 0 ? log.end : this.#ackedByAll(partition)
    const oldest = maxAgeMs === undefined ? 0 : Date.now() - maxAgeMs
    const exceeds = (): boolean =>
      (maxMessages !== undefined && log.end - log.start > maxMessages) ||
      (maxBytes !== undefined && log.bytes > maxBytes) ||
      (log.timestamp(log.start) ?? Number.POSITIVE_INFINITY) < oldest
    while (log.start < Math.min(acked, log.end - 1) && exceeds()) log.trim(log.start + 1)
  }

  #scheduleWake(): void {
    if (this.#wakeScheduled) return
    this.#wakeScheduled = true
    queueMicrotask(() => {
      this.#wakeScheduled = false
      for (const group of this.#groups.values()) group.wake()
    })
  }
}
