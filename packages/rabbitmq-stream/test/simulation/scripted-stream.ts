import type { Offset } from '../../src/client-patches/stream-client.js'

/** A subscription that chunks are sent to. */
export interface ChunkReader {
  /** The next offset that it has not been sent. */
  next: number
  credit: number
  /** Once it has begun, credits are used when there are more than so many. */
  readonly usedAbove: number
  send(chunk: Buffer): void
}

/** The log of a stream: messages, one chunk each, among the broker's own records of stored offsets. Nothing is ever removed. */
export class ScriptedStream {
  readonly name: string
  readonly #messages: number[] = []
  readonly #stored = new Map<string, bigint>()
  readonly #readers = new Set<ChunkReader>()
  /** The offset of the next record, whatever it is. */
  #end = 0

  constructor(name: string) {
    this.name = name
  }

  /** Where the last chunk begins, of whatever kind; -1 in an empty stream. */
  get lastChunk(): number {
    return this.#end - 1
  }

  /** Returns the message's offset. */
  append(): number {
    const offset = this.#end
    this.#messages.push(offset)
    this.#end += 1
    for (const reader of this.#readers) if (reader.credit > reader.usedAbove) this.feed(reader)
    return offset
  }

  /** A stored offset is a record of the stream itself. */
  store(reference: string, value: bigint): void {
    this.#stored.set(reference, value)
    this.#end += 1
  }

  stored(reference: string): bigint | undefined {
    return this.#stored.get(reference)
  }

  attach(reader: ChunkReader): void {
    this.#readers.add(reader)
    this.feed(reader)
  }

  detach(reader: ChunkReader): void {
    this.#readers.delete(reader)
  }

  /** The first offset that a subscription is to be sent. */
  offsetOf({ type, value }: Offset): number {
    if (type === 'numeric') return Number(value)
    if (type === 'last') return this.#messages.at(-1) ?? this.#end
    return type === 'next' ? this.#end : 0
  }

  /** Sends what there is, as far as its credit goes. */
  feed(reader: ChunkReader): void {
    while (reader.credit > 0) {
      const offset = this.#messageFrom(reader.next)
      if (offset === undefined) return
      reader.next = offset + 1
      reader.credit -= 1
      reader.send(chunkOf(offset))
    }
  }

  #messageFrom(offset: number): number | undefined {
    let [low, high] = [0, this.#messages.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#messages[middle] as number) < offset) low = middle + 1
      else high = middle
    }
    return this.#messages[low]
  }
}

/** A chunk with one message without content. */
function chunkOf(offset: number): Buffer {
  const bytes = Buffer.alloc(48 + 4)
  bytes.writeUInt8(0x50, 0)
  bytes.writeUInt16BE(1, 2)
  bytes.writeUInt32BE(1, 4)
  bytes.writeBigInt64BE(BigInt(Date.now()), 8)
  bytes.writeBigUInt64BE(BigInt(offset), 24)
  return bytes
}
