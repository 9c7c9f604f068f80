import type { ConsumerSpec } from '../contract/adapter.js'
import type { ConsumerDriver, PartitionAssignment } from '../contract/consumer-driver.js'

/** Topics that were joined together, through one driver. */
export interface Part {
  readonly spec: ConsumerSpec
  readonly driver: ConsumerDriver
  readonly assignments: Set<PartitionAssignment>
  /** Its topics that no longer exist. */
  readonly gone: Set<string>
}

/** What a loop by pattern has joined, and which part owns each of its partitions. */
export class PatternParts implements Iterable<Part> {
  readonly #parts = new Set<Part>()
  readonly #partOf = new Map<PartitionAssignment, Part>()

  get size(): number {
    return this.#parts.size
  }

  /** No part has a partition. */
  get ownNothing(): boolean {
    return this.#partOf.size === 0
  }

  [Symbol.iterator](): Iterator<Part> {
    return this.#parts.values()
  }

  has(part: Part): boolean {
    return this.#parts.has(part)
  }

  add(part: Part): void {
    this.#parts.add(part)
  }

  /** The part and everything it had is removed. */
  remove(part: Part): void {
    this.#parts.delete(part)
    this.forget(part, [...part.assignments])
  }

  clear(): void {
    this.#parts.clear()
    this.#partOf.clear()
  }

  of(assignment: PartitionAssignment): Part | undefined {
    return this.#partOf.get(assignment)
  }

  driverOf(assignment: PartitionAssignment): ConsumerDriver | undefined {
    return this.#partOf.get(assignment)?.driver
  }

  assign(part: Part, partitions: readonly PartitionAssignment[]): void {
    for (const assignment of partitions) {
      part.assignments.add(assignment)
      this.#partOf.set(assignment, part)
    }
  }

  forget(part: Part, partitions: readonly PartitionAssignment[]): void {
    for (const assignment of partitions) {
      part.assignments.delete(assignment)
      this.#partOf.delete(assignment)
    }
  }
}

/** @param present - the topics that exist. */
export function noteGone(part: Part, present: ReadonlySet<string>): void {
  for (const { topic } of part.spec.topics) if (!present.has(topic)) part.gone.add(topic)
}
