import { randomBytes } from 'node:crypto'
import type { Delivery } from '../consumer/delivery.js'
import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { FinishedRecord, RecordSender } from '../producer/record-sender.js'
import { ROUTING_HEADERS } from '../wire/reserved-headers.js'
import { DEAD_LETTER_GROUP } from './dead-letter-group.js'
import type { DeadLetterReader } from './dead-letter-reader.js'

/** Where a record stands in its dead-letter topic: what markers name. */
export function placeOf({ partition, offset }: Delivery): string {
  return `${partition}/${offset}`
}

/** The place that a marker says is done with; `undefined` for a dead letter. */
export function settledPlace(delivery: Delivery): string | undefined {
  return delivery.onlyGroup === DEAD_LETTER_GROUP ? delivery.headers[ROUTING_HEADERS.settles] : undefined
}

/** Takes dead letters out of their topic. Told of each record in the order of reading, then to remove those that were chosen. */
export interface Removal {
  /** It stays where it is. */
  keep(delivery: Delivery): void
  /** It was done with earlier (a marker, or a letter that one names), or is about to be removed. */
  pass(delivery: Delivery): void
  /**
   * Resolves when they are durably done with: no later reader sees them. `complete`: everything that was passed so far is.
   */
  remove(deliveries: readonly Delivery[], complete: boolean): Promise<void>
}

/** Removal where each record is acked by itself. */
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
 * Removal from a log, which can't drop a single record. The group's position moves past the oldest letters once all of them are done
 * with; for one behind a letter that stays, a marker at the end of the log names it.
 */
export class MarkerRemoval implements Removal {
  readonly #reader: DeadLetterReader
  readonly #markers: RecordSender
  /** Up to where everything is done with. */
  readonly #done = new Map<PartitionAssignment, Delivery>()
  /** Partitions in which something stays. */
  readonly #held = new Set<PartitionAssignment>()
  /** Chosen behind something that stays. */
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
