import { randomBytes } from 'node:crypto'
import type { OutgoingRecord, TopicSpec } from '@streamswitch/core/driver'

/**
 * Numbers the records of one lane of one producer, the same in every resend, also across reconnects. The server keeps the last
 * number it has stored: that tells a batch whose predecessor failed, and a resend of what was stored without our knowing.
 */
export class LaneNumbers {
  #next = 1
  /** Numbers of records that may be sent again. Core hands over the same object in each resend. */
  readonly #unsettled = new WeakMap<OutgoingRecord, number>()

  /** The numbers of a batch, rising. */
  assign(records: readonly OutgoingRecord[]): readonly number[] {
    return records.map((record) => {
      const known = record.resends === 0 ? undefined : this.#unsettled.get(record)
      if (known !== undefined) return known
      const number = this.#next
      this.#next += 1
      return number
    })
  }

  /** The outcome is not known, or the batch was refused as a whole. */
  failed(records: readonly OutgoingRecord[], numbers: readonly number[]): void {
    for (const [index, record] of records.entries()) this.#unsettled.set(record, numbers[index] as number)
  }
}

/** State of one producer that persists across its connections. */
export class ProducerSession {
  readonly id = randomBytes(12).toString('base64url')
  /** How many partitions the topic had when it was opened last. */
  partitions: number | undefined
  readonly #lanes = new Map<number, LaneNumbers>()

  lane(number: number): LaneNumbers {
    let lane = this.#lanes.get(number)
    if (lane === undefined) {
      lane = new LaneNumbers()
      this.#lanes.set(number, lane)
    }
    return lane
  }
}

/** Sessions by producer. Core makes a spec per producer and gives it to each of its drivers. */
export class ProducerSessions {
  readonly #known = new WeakMap<TopicSpec, ProducerSession>()

  of(spec: TopicSpec): ProducerSession {
    let session = this.#known.get(spec)
    if (session === undefined) {
      session = new ProducerSession()
      this.#known.set(spec, session)
    }
    return session
  }
}
