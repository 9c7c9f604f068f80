import type { Delivery, PartitionAssignment } from '@streamswitch/core/driver'
import type { Log } from './log.js'

/** Progress of one group in one partition. */
export class GroupPartition {
  readonly log: Log
  /** Everything below this offset is acked. */
  committed: number
  /** Offsets acked above `committed`. */
  readonly #ackedAhead = new Set<number>()
  /** The next offset to be delivered. */
  #cursor: number
  /** Returned messages, to be delivered again before anything new. */
  #returned: number[] = []
  epoch = 0

  constructor(log: Log, start: number) {
    this.log = log
    this.committed = start
    this.#cursor = start
  }

  /** Number of messages that are not acked. */
  get lag(): number {
    return this.log.end - Math.max(this.committed, this.log.start) - this.#ackedAhead.size
  }

  get deliverable(): number {
    return this.#returned.length + this.log.end - this.#cursor
  }

  /** Takes up to `count` messages for delivery, in order. */
  take(count: number, assignment: PartitionAssignment): Delivery[] {
    const deliveries: Delivery[] = []
    while (deliveries.length < count) {
      const offset = this.#returned.shift() ?? (this.#cursor < this.log.end ? this.#cursor++ : undefined)
      if (offset === undefined) break
      const delivery = this.#ackedAhead.has(offset) ? undefined : this.log.deliver(offset, assignment)
      if (delivery !== undefined) deliveries.push(delivery)
    }
    return deliveries
  }

  ack(offset: number): void {
    if (offset !== this.committed) {
      if (offset > this.committed) this.#ackedAhead.add(offset)
      return
    }
    this.committed += 1
    while (this.#ackedAhead.size > 0 && this.#ackedAhead.delete(this.committed)) this.committed += 1
  }

  /** Returns messages that were taken and not acked. */
  giveBack(offsets: Iterable<number>): void {
    this.#returned = [...this.#returned, ...offsets].sort((left, right) => left - right)
  }

  /** Starts delivering at the first unacked message again. */
  rewind(): void {
    this.#cursor = this.committed
    this.#returned = []
  }

  seek(offset: number): void {
    this.committed = offset
    this.#cursor = offset
    this.#returned = []
    this.#ackedAhead.clear()
  }
}
