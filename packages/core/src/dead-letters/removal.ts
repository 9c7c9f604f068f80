import { randomBytes } from 'node:crypto'
import type { Delivery } from '../consumer/delivery.js'
import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { FinishedRecord, RecordSender } from '../producer/record-sender.js'
import { ROUTING_HEADERS } from '../wire/reserved-headers.js'
import { DEAD_LETTER_GROUP } from './dead-letter-group.js'
import type { DeadLetterReader } from './dead-letter-reader.js'

/** Returns the offset of a record in its dead-letter topic, as markers name it. */
export function placeOf({ partition, offset }: Delivery): string {
  return `${partition}/${offset}`
}

/** Returns the offset that a marker declares as removed; `undefined` for a dead letter. */
export function settledPlace(delivery: Delivery): string | undefined {
  return delivery.onlyGroup === DEAD_LETTER_GROUP ? delivery.headers[ROUTING_HEADERS.settles] : undefined
}

/**
 * Removes dead letters from their topic. Called for each record in the order of reading, then to remove the selected
 * ones.
 */
export interface Removal {
  /** The record stays. */
  keep(delivery: Delivery): void
  /** The record was removed earlier (a marker, or a dead letter that one names), or is about to be removed. */
  pass(delivery: Delivery): void
  /**
   * Resolves when the removal is durable: no later reader sees them. `complete`: everything passed so far is removed.
   */
  remove(deliveries: readonly Delivery[], complete: boolean): Promise<void>
}

/** Removal by acking each record. */
export class AckRemoval implements Removal {
  readonly #reader: DeadLetterReader

  constructor(reader: DeadLetterReader) {
    this.#reader = reader
  }

  keep(): void {}

  pass(): void {}

  async remove(deliveries: readonly Delivery[]): Promise<void> {
    const { driver } = this.#reader
    for (const [assignment, group] of byAssignment(deliveries))
      await (driver.remove?.(assignment, group) ?? driver.ack?.(assignment, group))
    this.#reader.settled(deliveries.length)
  }
}

/**
 * Removal from a log, which can't drop a single record. The group's committed offset moves past the first dead letters
 * once all of them are removed; one behind a dead letter that stays is named by a marker at the end of the log.
 */
export class MarkerRemoval implements Removal {
  readonly #reader: DeadLetterReader
  readonly #markers: RecordSender
  /** The last record up to which everything is removed. */
  readonly #done = new Map<PartitionAssignment, Delivery>()
  /** Partitions in which a dead letter stays. */
  readonly #held = new Set<PartitionAssignment>()
  /** Selected dead letters behind one that stays. */
  readonly #behind = new Set<Delivery>()

  constructor(reader: DeadLetterReader, markers: RecordSender) {
    this.#reader = reader
    this.#markers = markers
  }

  keep(delivery: Delivery): void {
    this.#held.add(delivery.assignment)
  }

  pass(delivery: Delivery): void {
    if (this.#held.has(delivery.assignment)) this.#behind.add(delivery)
    else this.#done.set(delivery.assignment, delivery)
  }

  async remove(deliveries: readonly Delivery[], complete: boolean): Promise<void> {
    const marked = complete ? deliveries.filter((delivery) => this.#behind.has(delivery)) : deliveries
    await Promise.all(marked.map((delivery) => this.#markers.send(markerOf(delivery))))
    this.#behind.clear()
    if (!complete) return
    for (const [assignment, last] of this.#done) await this.#reader.driver.commit?.(assignment, last)
    this.#done.clear()
  }
}

function markerOf(delivery: Delivery): FinishedRecord {
  return {
    id: `settles-${randomBytes(9).toString('base64url')}`,
    key: undefined,
    payload: undefined,
    headers: { [ROUTING_HEADERS.onlyGroup]: DEAD_LETTER_GROUP, [ROUTING_HEADERS.settles]: placeOf(delivery) },
    timestamp: Date.now(),
  }
}

function byAssignment(deliveries: readonly Delivery[]): Map<PartitionAssignment, Delivery[]> {
  const groups = new Map<PartitionAssignment, Delivery[]>()
  for (const delivery of deliveries) {
    const group = groups.get(delivery.assignment)
    if (group === undefined) groups.set(delivery.assignment, [delivery])
    else group.push(delivery)
  }
  return groups
}
