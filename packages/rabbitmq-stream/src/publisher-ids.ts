import type { OutgoingRecord } from '@streamswitch/core/driver'
import { sequencePassed } from './errors.js'

/** Ids that records got from a driver; a resend by the next driver must come under the same one. */
const ASSIGNED = new WeakMap<OutgoingRecord, bigint>()
/** Records that the broker has refused under their id. */
const REFUSED = new WeakSet<OutgoingRecord>()

/** Gives each record its publishing id, within one partition. */
export interface PublisherIds {
  /** Throws a StreamError where the record can't be sent under any id. */
  idOf(record: OutgoingRecord): bigint
  confirmed(id: bigint): void
  refused(record: OutgoingRecord): void
}

/** Without a name: ids only tell confirms apart, and mean nothing beyond this driver. */
export class PassingIds implements PublisherIds {
  #last = 0n

  idOf(): bigint {
    this.#last += 1n
    return this.#last
  }

  confirmed(): void {}

  refused(): void {}
}

/**
 * With a `publisherName` the broker drops every id that isn't above the last one it has stored. The caller's `sequence` is the
 * id; records without one are numbered on from the broker's last.
 */
export class NamedIds implements PublisherIds {
  readonly #topic: string
  /** The highest id that was given out or is stored. */
  #last: bigint
  #confirmed: bigint

  /** @param stored - the broker's last id under the name. */
  constructor(topic: string, stored: bigint) {
    this.#topic = topic
    this.#last = stored
    this.#confirmed = stored
  }

  idOf(record: OutgoingRecord): bigint {
    // Refused below a stored id: the broker would drop it as a duplicate of something it never stored.
    const passed = REFUSED.has(record)
    const { sequence } = record
    if (sequence !== undefined) {
      if (passed && sequence <= this.#confirmed) throw sequencePassed(this.#topic, sequence)
      if (sequence > this.#last) this.#last = sequence
      return sequence
    }
    const assigned = ASSIGNED.get(record)
    if (assigned !== undefined && !(passed && assigned <= this.#confirmed)) {
      if (assigned > this.#last) this.#last = assigned
      return assigned
    }
    this.#last += 1n
    ASSIGNED.set(record, this.#last)
    return this.#last
  }

  confirmed(id: bigint): void {
    if (id > this.#confirmed) this.#confirmed = id
  }

  refused(record: OutgoingRecord): void {
    REFUSED.add(record)
  }
}
