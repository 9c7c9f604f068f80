import type { Delivery, OutgoingRecord, PartitionAssignment, StartPosition } from '@streamswitch/core/driver'
import { notAnOffset } from './errors.js'
import { Segment } from './segment.js'

/** One partition: messages in order, offsets from 0 without gaps; old ones may be trimmed. */
export class Log {
  /** In order; never empty segments. */
  readonly #segments: Segment[] = []
  /** Offset of the first message kept. */
  start = 0
  /** Offset of the next message. */
  end = 0
  bytes = 0

  /** Stores a record and returns its offset. */
  append(record: OutgoingRecord): number {
    const last = this.#segments.at(-1)
    let segment = last
    if (segment === undefined || !segment.fits(record)) {
      segment = new Segment(this.end, record, last)
      this.#segments.push(segment)
    }
    segment.append(record)
    this.bytes += record.size
    this.end += 1
    return this.end - 1
  }

  /** Returns the delivery of a message, or `undefined` when it is trimmed or doesn't exist yet. */
  deliver(offset: number, assignment: PartitionAssignment): Delivery | undefined {
    return offset < this.start ? undefined : this.#segmentOf(offset)?.toDelivery(offset, assignment)
  }

  timestamp(offset: number): number | undefined {
    return this.#segmentOf(offset)?.timestamp(offset)
  }

  /** Drops everything below an offset. */
  trim(below: number): void {
    const to = Math.min(below, this.end)
    for (; this.start < to; this.start += 1) this.bytes -= this.#segmentOf(this.start)?.size(this.start) ?? 0
    while ((this.#segments[0]?.end ?? Number.POSITIVE_INFINITY) <= this.start) this.#segments.shift()
  }

  /** True for offsets of kept messages, and for the next one's. */
  holds(offset: number): boolean {
    return offset >= this.start && offset <= this.end
  }

  /** Returns the offset of a start position. A numeric offset may be outside of what is kept. */
  resolve(position: StartPosition | undefined): number {
    if (position === undefined || position === 'earliest') return this.start
    if (position === 'latest') return this.end
    if ('offset' in position) return parseOffset(position.offset)
    for (let offset = this.start; offset < this.end; offset += 1) {
      if ((this.timestamp(offset) ?? 0) >= position.timestamp) return offset
    }
    return this.end
  }

  #segmentOf(offset: number): Segment | undefined {
    const last = this.#segments.at(-1)
    if (last === undefined || offset >= last.base) return last
    let [low, high] = [0, this.#segments.length - 1]
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if ((this.#segments[middle]?.base ?? 0) <= offset) low = middle
      else high = middle - 1
    }
    return this.#segments[low]
  }
}

function parseOffset(text: string): number {
  const offset = /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isSafeInteger(offset)) return offset
  throw notAnOffset(text)
}
