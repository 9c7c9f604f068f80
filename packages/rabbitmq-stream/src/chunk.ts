import { gunzipSync } from 'node:zlib'
import { messageOf } from '@streamswitch/core/driver'

const HEADER_BYTES = 48
const USER_CHUNK = 0
const Compression = { none: 0, gzip: 1 } as const
const COMPRESSION_NAMES = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** One message of a chunk. */
export interface ChunkEntry {
  readonly offset: number
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
  /** The last batch of sub-entries that could not be unpacked, told once. */
  problem: string | undefined
  readonly #bytes: Buffer
  #at = HEADER_BYTES
  #entries: number
  #offset: number
  /** The batch at hand. */
  #batch: Buffer | undefined
  #batchAt = 0
  #batchLeft = 0

  /** @param bytes - the chunk from its header on. Throws RangeError where it is cut short. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#entries = bytes.readInt8(1) === USER_CHUNK ? bytes.readUInt16BE(2) : 0
    this.records = bytes.readUInt32BE(4)
    this.timestamp = Number(bytes.readBigInt64BE(8))
    this.firstOffset = Number(bytes.readBigUInt64BE(24))
    this.#offset = this.firstOffset
    if (bytes.length < HEADER_BYTES) throw new RangeError('a chunk shorter than its header')
  }

  /** The offset behind the last message. */
  get end(): number {
    return this.firstOffset + this.records
  }

  get done(): boolean {
    return this.#entries === 0 && this.#batchLeft === 0
  }

  /** The next messages from `from` on, `limit` at most. Throws RangeError where the chunk is cut short. */
  read(limit: number, from: number): ChunkEntry[] {
    const entries: ChunkEntry[] = []
    while (entries.length < limit && !this.done) {
      const offset = this.#offset
      const bytes = this.#next()
      if (bytes !== undefined && offset >= from) entries.push({ offset, bytes })
    }
    return entries
  }

  #next(): Buffer | undefined {
    if (this.#batch !== undefined && this.#batchLeft > 0) {
      const start = this.#batchAt + 4
      this.#batchAt = start + this.#batch.readUInt32BE(this.#batchAt)
      this.#batchLeft -= 1
      this.#offset += 1
      return this.#batch.subarray(start, this.#batchAt)
    }
    this.#entries -= 1
    const head = this.#bytes.readUInt8(this.#at)
    if ((head & 0x80) !== 0) return this.#openBatch((head >> 4) & 0x7)
    const start = this.#at + 4
    this.#at = start + this.#bytes.readUInt32BE(this.#at)
    this.#offset += 1
    return this.#bytes.subarray(start, this.#at)
  }

  /** Begins a batch of sub-entries. One that can't be unpacked is given as a single message with the bytes as they are. */
  #openBatch(compression: number): Buffer | undefined {
    const count = this.#bytes.readUInt16BE(this.#at + 1)
    const unpackedBytes = this.#bytes.readUInt32BE(this.#at + 3)
    const start = this.#at + 11
    this.#at = start + this.#bytes.readUInt32BE(this.#at + 7)
    const packed = this.#bytes.subarray(start, this.#at)
    const batch = this.#unpack(packed, compression, unpackedBytes)
    if (batch === undefined) {
      this.#offset += count
      return packed
    }
    this.#batch = batch
    this.#batchAt = 0
    this.#batchLeft = count
    return undefined
  }

  #unpack(packed: Buffer, compression: number, unpackedBytes: number): Buffer | undefined {
    if (compression === Compression.none) return packed
    const name = COMPRESSION_NAMES[compression] ?? `number ${compression}`
    if (compression !== Compression.gzip) {
      this.problem = `compression ${name} can't be read; producers may use gzip or none`
      return undefined
    }
    try {
      return gunzipSync(packed, { maxOutputLength: Math.max(1, unpackedBytes) })
    } catch (error) {
      this.problem = `a gzip batch is broken: ${messageOf(error)}`
      return undefined
    }
  }
}
