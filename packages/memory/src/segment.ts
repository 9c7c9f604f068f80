import {
  Delivery,
  type Headers,
  type OutgoingRecord,
  type PartitionAssignment,
  WIRE_HEADERS,
} from '@streamswitch/core/driver'

const NO_HEADERS: Headers = Object.freeze({})
const NO_BYTES = Buffer.alloc(0)

/** Size of a log's first segment, in bytes; each further one is twice as large, up to the maximum. */
const SMALLEST_BYTES = 16 * 1024
const LARGEST_BYTES = 1024 * 1024
const MOST_MESSAGES = 8192

/**
 * A run of messages, stored by column with their payloads in one block: few long-lived objects, whatever the number of
 * messages, since the garbage collector copies those repeatedly.
 */
export class Segment {
  /** Offset of the first message. */
  readonly base: number
  readonly #block: Buffer
  readonly #ids: string[] = []
  readonly #keys: (string | undefined)[] = []
  readonly #headers: Headers[] = []
  readonly #timestamps: number[] = []
  readonly #sizes: number[] = []
  /** Where each payload begins in the block; -1 for a tombstone. */
  readonly #starts: number[] = []
  readonly #lengths: number[] = []
  #used = 0

  /** @param after - the previous segment. */
  constructor(base: number, first: OutgoingRecord, after: Segment | undefined) {
    this.base = base
    const size = after === undefined ? SMALLEST_BYTES : Math.min(LARGEST_BYTES, after.#block.length * 2)
    this.#block = Buffer.allocUnsafeSlow(Math.max(size, first.payload?.length ?? 0))
  }

  get end(): number {
    return this.base + this.#ids.length
  }

  fits(record: OutgoingRecord): boolean {
    return this.#ids.length < MOST_MESSAGES && this.#used + (record.payload?.length ?? 0) <= this.#block.length
  }

  /** Copies a record, as a broker would: later changes by the sender don't affect what was sent. */
  append(record: OutgoingRecord): void {
    const { payload } = record
    this.#ids.push(record.id)
    this.#keys.push(record.key)
    this.#headers.push(record.headers === undefined ? NO_HEADERS : Object.freeze({ ...record.headers }))
    this.#timestamps.push(record.timestamp)
    this.#sizes.push(record.size)
    this.#starts.push(payload === undefined ? -1 : this.#used)
    this.#lengths.push(payload === undefined ? 0 : payload.length)
    if (payload === undefined) return
    payload.copy(this.#block, this.#used)
    this.#used += payload.length
  }

  timestamp(offset: number): number {
    return this.#timestamps[offset - this.base] ?? 0
  }

  size(offset: number): number {
    return this.#sizes[offset - this.base] ?? 0
  }

  toDelivery(offset: number, assignment: PartitionAssignment): Delivery {
    const index = offset - this.base
    const stored = this.#headers[index] ?? NO_HEADERS
    const replyTo = stored[WIRE_HEADERS.replyTo]
    return new Delivery(assignment, {
      id: this.#ids[index],
      key: this.#keys[index],
      payload: this.#payload(index),
      headers: replyTo === undefined ? stored : withoutReplyTo(stored),
      timestamp: this.timestamp(offset),
      position: offset,
      replyTo,
      native: undefined,
    })
  }

  #payload(index: number): Buffer | undefined {
    const start = this.#starts[index] ?? -1
    if (start < 0) return undefined
    const length = this.#lengths[index] ?? 0
    return length === 0 ? NO_BYTES : this.#block.subarray(start, start + length)
  }
}

function withoutReplyTo({ [WIRE_HEADERS.replyTo]: _replyTo, ...headers }: Headers): Headers {
  return headers
}
