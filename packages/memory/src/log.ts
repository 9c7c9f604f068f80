import type { OutgoingRecord, StartPosition } from '@streamswitch/core/driver'
import { type StoredMessage, toStored } from './message.js'

/** One partition: messages in order, offsets from 0 without gaps; old ones may be trimmed away. */
export class Log {
  #messages: StoredMessage[] = []
  /** Offset of the first element of `#messages`. */
  #base = 0
  /** Trimmed elements that still stand at the front. */
  #trimmed = 0
  bytes = 0

  /** Offset of the oldest message that is kept. */
  get start(): number {
    return this.#base + this.#trimmed
  }

  /** Offset that the next message will get. */
  get end(): number {
    return this.#base + this.#messages.length
  }

  append(record: OutgoingRecord): StoredMessage {
    const message = toStored(record, this.end)
    this.#messages.push(message)
    this.bytes += message.size
    return message
  }

  at(offset: number): StoredMessage | undefined {
    return offset < this.start ? undefined : this.#messages[offset - this.#base]
  }

  /** Drops everything below an offset. */
  trim(below: number): void {
    const to = Math.min(below, this.end)
    for (let offset = this.start; offset < to; offset += 1) this.bytes -= this.at(offset)?.size ?? 0
    if (to <= this.start) return
    this.#trimmed = to - this.#base
    // Moving the rest to the front is linear: worth it once half of the array is gone.
    if (this.#trimmed < 1024 || this.#trimmed < this.#messages.length / 2) return
    this.#messages = this.#messages.slice(this.#trimmed)
    this.#base += this.#trimmed
    this.#trimmed = 0
  }

  /** The offset that a position means, within what is kept. */
  resolve(position: StartPosition | undefined): number {
    if (position === undefined || position === 'earliest') return this.start
    if (position === 'latest') return this.end
    if ('offset' in position) return Math.min(Math.max(Number(position.offset), this.start), this.end)
    for (let offset = this.start; offset < this.end; offset += 1) {
      if ((this.at(offset)?.timestamp ?? 0) >= position.timestamp) return offset
    }
    return this.end
  }
}
