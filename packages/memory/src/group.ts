import { orderingConflict } from './errors.js'
import { GroupPartition } from './group-partition.js'
import type { Log } from './log.js'

/** A member of a group, as the group sees it. */
export interface Member {
  /** A partition is assigned to this member. */
  assign(partition: number): void
  /** A partition is revoked from this member; resolves when it has been released. */
  revoke(partition: number): Promise<void>
  owns(partition: number): boolean
  /** There may be something to fetch. */
  wake(): void
}

/**
 * One group of one topic. With `ordering: 'key'` each partition belongs to one member, spread evenly and moved as
 * little as possible; with `none` every member takes from every partition.
 */
export class Group {
  readonly partitions: readonly GroupPartition[]
  readonly #topic: string
  readonly #name: string
  readonly #members: Member[] = []
  /** Partitions being moved from one member to another. */
  readonly #moving = new Set<number>()
  ordering: 'key' | 'none' = 'key'

  /** @param startAt - the offset at which the group begins in a partition. */
  constructor(topic: string, name: string, logs: readonly Log[], startAt: (partition: number) => number) {
    this.#topic = topic
    this.#name = name
    this.partitions = logs.map((log, partition) => new GroupPartition(log, startAt(partition)))
  }

  get members(): number {
    return this.#members.length
  }

  /** Throws CONFLICT when the group's members have another ordering. */
  join(member: Member, ordering: 'key' | 'none'): void {
    if (this.#members.length > 0 && this.ordering !== ordering)
      throw orderingConflict(this.#topic, this.#name, this.ordering)
    this.ordering = ordering
    this.#members.push(member)
    if (ordering === 'key') return this.#rebalance()
    for (let partition = 0; partition < this.partitions.length; partition += 1) member.assign(partition)
  }

  leave(member: Member): void {
    const index = this.#members.indexOf(member)
    if (index >= 0) this.#members.splice(index, 1)
    if (this.ordering === 'key') this.#rebalance()
    else this.wake()
  }

  wake(): void {
    for (const member of this.#members) member.wake()
  }

  /** Assigns free partitions to members below their share, and asks members above it to release some. */
  #rebalance(): void {
    if (this.#members.length === 0) return
    const owned = this.#members.map((member) =>
      this.partitions.flatMap((_, partition) => (member.owns(partition) ? [partition] : [])),
    )
    const floor = Math.floor(this.partitions.length / this.#members.length)
    let extra = this.partitions.length % this.#members.length
    // Members that already hold more than the floor keep the extra ones, so that as little as possible moves.
    const order = this.#members
      .map((_, index) => index)
      .sort((left, right) => (owned[right]?.length ?? 0) - (owned[left]?.length ?? 0))
    const quota: number[] = []
    for (const index of order) {
      quota[index] = floor + (extra > 0 ? 1 : 0)
      extra -= 1
    }
    const taken = new Set(owned.flat())
    const free = this.partitions.flatMap((_, partition) =>
      taken.has(partition) || this.#moving.has(partition) ? [] : [partition],
    )
    for (const [index, member] of this.#members.entries()) {
      const mine = owned[index] ?? []
      for (let count = mine.length; count < (quota[index] ?? 0) && free.length > 0; count += 1)
        member.assign(free.shift() as number)
      for (const partition of mine.slice(quota[index] ?? 0)) void this.#move(member, partition)
    }
  }

  async #move(member: Member, partition: number): Promise<void> {
    if (this.#moving.has(partition)) return
    this.#moving.add(partition)
    await member.revoke(partition)
    this.#moving.delete(partition)
    this.#rebalance()
  }
}
