import type { CompressionName } from '@streamswitch/core/driver'

const HEADER_BYTES = 48
const USER_CHUNK = 0
const COMPRESSIONS: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** One message of a chunk. */
export interface ChunkEntry {
  readonly offset: number
  readonly bytes: Buffer
}

/** A batch of sub-entries as it is in a chunk. */
export interface PackedBatch {
  readonly firstOffset: number
  /** Messages. */
  readonly count: number
  /** `undefined`: one that is not known to this version, with the number `type`. */
  readonly compression: CompressionName | undefined
  readonly type: number
  /** What it decompresses to, as its producer says. */
  readonly unpackedBytes: number
  readonly bytes: Buffer
}

/**
 * Reads the messages of a chunk, as many at a time as are wanted. Replaces the library's decoder, which reads the first batch of
 * sub-entries of a chunk only, and counts its offsets from 0.
 * Source: https://github.com/rabbitmq/osiris, osiris_log, and the stream protocol's Deliver frame.
 */
export class Chunk {
  readonly firstOffset: number
  readonly records: number
  /** When the broker stored it, in milliseconds since the epoch. */
  readonly timestamp: number
  /** The batch that comes next and must be unpacked first: reading stops before it. */
  packed: PackedBatch | undefined
  readonly #bytes: Buffer
  #at = HEADER_BYTES
  #entries: number
  #offset: number
  /** The batch at hand. */
  #batch: Buffer | undefined
  #batchAt = 0
  #batchLeft = 0

  /** @param bytes - the chunk from its header on. Throws RangeError where it is cut short, or its offsets are no JavaScript numbers. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#entries = bytes.readInt8(1) === USER_CHUNK ? bytes.readUInt16BE(2) : 0
    this.records = bytes.readUInt32BE(4)
    this.timestamp = Number(bytes.readBigInt64BE(8))
    this.firstOffset = Number(bytes.readBigUInt64BE(24))
    this.#offset = this.firstOffset
    if (bytes.length < HEADER_BYTES) throw new RangeError('a chunk shorter than its header')
    if (!Number.isSafeInteger(this.end)) throw new RangeError(`a chunk that ends at offset ${this.end}`)
  }

  /** The offset behind the last message. */
  get end(): number {
    return this.firstOffset + this.records
  }

  get done(): boolean {
    return this.#entries === 0 && this.#batchLeft === 0 && this.packed === undefined
  }

  /** The next messages from `from` on, `limit` at most, up to a batch that is `packed`. Throws RangeError where the chunk is cut short. */
  read(limit: number, from: number): ChunkEntry[] {
    const entries: ChunkEntry[] = []
    while (entries.length < limit && !this.done && this.packed === undefined) {
      const offset = this.#offset
      const bytes = this.#next(from)
      if (bytes !== undefined && offset >= from) entries.push({ offset, bytes })
    }
    return entries
  }

  /** The packed batch, unpacked. Throws RangeError, and changes nothing, where its messages don't end where it does. */
  unpacked(batch: Buffer): void {
    const count = this.packed?.count ?? 0
    let at = 0
    for (let index = 0; index < count; index += 1) at += 4 + batch.readUInt32BE(at)
    if (at !== batch.length) throw new RangeError('its messages do not end where it does')
    this.packed = undefined
    this.#batch = batch
    this.#batchAt = 0
    this.#batchLeft = count
  }

  /** Passes over the packed batch. */
  skipPacked(): void {
    this.#offset += this.packed?.count ?? 0
    this.packed = undefined
  }

  #next(from: number): Buffer | undefined {
    if (this.#batch !== undefined && this.#batchLeft > 0) {
      const start = this.#batchAt + 4
      this.#batchAt = start + this.#batch.readUInt32BE(this.#batchAt)
      this.#batchLeft -= 1
      this.#offset += 1
      return this.#batch.subarray(start, this.#batchAt)
    }
    this.#entries -= 1
    const head = this.#bytes.readUInt8(this.#at)
    if ((head & 0x80) !== 0) return this.#findBatch((head >> 4) & 0x7, from)
    const start = this.#at + 4
    const message = this.#part(start, this.#bytes.readUInt32BE(this.#at))
    this.#offset += 1
    return message
  }

  /** A batch of sub-entries begins. One of which nothing is wanted need not be unpacked. */
  #findBatch(type: number, from: number): undefined {
    const count = this.#bytes.readUInt16BE(this.#at + 1)
    const unpackedBytes = this.#bytes.readUInt32BE(this.#at + 3)
    const bytes = this.#part(this.#at + 11, this.#bytes.readUInt32BE(this.#at + 7))
    this.packed = { firstOffset: this.#offset, count, compression: COMPRESSIONS[type], type, unpackedBytes, bytes }
    if (this.#offset + count <= from) this.skipPacked()
  }

  /** Bytes of the chunk; reading goes on behind them. */
  #part(start: number, length: number): Buffer {
    if (start + length > this.#bytes.length) throw new RangeError('an entry ends beyond its chunk')
    this.#at = start + length
    return this.#bytes.subarray(start, this.#at)
  }
}
