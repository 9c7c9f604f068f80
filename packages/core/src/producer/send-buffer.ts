import { Deque } from '../deque.js'
import { type PendingRecord, RecordState } from './pending-record.js'

export interface BufferLimits {
  readonly maxBufferedMessages: number
  readonly maxBufferedBytes: number
}

/**
 * Limits what a producer holds: records that are neither accepted nor failed. Records beyond it wait, in order, until
 * there is room.
 */
export class SendBuffer {
  readonly #limits: BufferLimits
  readonly #waiting = new Deque<PendingRecord>()
  /**
   * Every record from its send to its outcome, in order, for `flush` and the sweep. Settled ones are removed lazily.
   */
  readonly #all = new Deque<PendingRecord>()
  /** Those of them that the sweep times out. */
  readonly #expiring = new Deque<PendingRecord>()
  #messages = 0
  #bytes = 0

  constructor(limits: BufferLimits) {
    this.#limits = limits
  }

  /** Unsettled records that were admitted. */
  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** Adds a record. Returns false when it has to wait: `admit` returns it once there is room. */
  add(record: PendingRecord, expires: boolean): boolean {
    this.#all.push(record)
    if (expires) this.#expiring.push(record)
    if (this.#waiting.length === 0 && this.#fits(record)) {
      this.#count(record)
      return true
    }
    this.#waiting.push(record)
    return false
  }

  /** A record has its outcome. */
  release(record: PendingRecord): void {
    // Now, not at the next sweep: objects that live that long are copied by the garbage collector, twice.
    firstUnsettled(this.#all)
    firstUnsettled(this.#expiring)
    if (!record.admitted) return
    this.#messages -= 1
    this.#bytes -= record.size
  }

  /** Returns the next waiting record that fits now. */
  admit(): PendingRecord | undefined {
    for (let record = this.#waiting.peek(); record !== undefined; record = this.#waiting.peek()) {
      if (record.state !== RecordState.Settled && !this.#fits(record)) return undefined
      this.#waiting.shift()
      if (record.state === RecordState.Settled) continue
      this.#count(record)
      return record
    }
    return undefined
  }

  /** Returns the oldest record without an outcome. */
  oldest(): PendingRecord | undefined {
    return firstUnsettled(this.#all)
  }

  /**
   * Returns the next record that has timed out: those that never got room first, before the end of others makes room
   * for them.
   */
  overdue(tick: number): PendingRecord | undefined {
    const shutOut = firstUnsettled(this.#waiting)
    if (shutOut !== undefined && shutOut.deadlineTick <= tick) return shutOut
    const record = firstUnsettled(this.#expiring)
    return record !== undefined && record.deadlineTick <= tick ? record : undefined
  }

  /** Everything without an outcome, in order of sending. */
  *unsettled(): Generator<PendingRecord> {
    for (const record of this.#all) if (record.state !== RecordState.Settled) yield record
  }

  #count(record: PendingRecord): void {
    record.admitted = true
    this.#messages += 1
    this.#bytes += record.size
  }

  // A single record larger than the whole buffer is admitted alone: it would wait forever otherwise.
  #fits(record: PendingRecord): boolean {
    if (this.#messages === 0) return true
    return (
      this.#messages < this.#limits.maxBufferedMessages && this.#bytes + record.size <= this.#limits.maxBufferedBytes
    )
  }
}

function firstUnsettled(queue: Deque<PendingRecord>): PendingRecord | undefined {
  for (let record = queue.peek(); record !== undefined; record = queue.peek()) {
    if (record.state !== RecordState.Settled) return record
    queue.shift()
  }
  return undefined
}
