import { gzipSync } from 'node:zlib'
import type { OutgoingRecord } from '@streamswitch/core/driver'
import { encodeRecord, maxEncodedBytes } from './record-encoding.js'

const FRAME_HEADER_BYTES = 13
const ENTRY_HEADER_BYTES = 12
const BATCH_HEADER_BYTES = 19
const PUBLISH = 0x0002
const MAX_SUB_ENTRIES = 65_535
/** Room for what gzip adds to bytes that it can't make smaller. */
const GZIP_MARGIN_BYTES = 4_096

/** One publishing id and the records it stands for: `from` up to and without `to`. */
export interface PublishedSpan {
  readonly id: bigint
  readonly from: number
  readonly to: number
}

/** Frames that are ready to be written in one go. */
export interface EncodedBatch {
  readonly frames: Buffer
  /** Records of the batch that can't be sent, in order. */
  readonly unsent: readonly UnsentRecord[]
}

interface UnsentRecord {
  readonly index: number
  /** Why it can't be encoded; `undefined`: no frame can hold it. */
  readonly cause: unknown
}

export interface FrameSettings {
  readonly publisherId: number
  /** As negotiated; the four bytes of a frame's size count too. */
  readonly frameMaxBytes: number
  /** The filter value of a record, where the broker's filter is to know it. */
  readonly filterOf?: ((record: OutgoingRecord) => string | undefined) | undefined
}

/**
 * Encodes records into Publish frames, each below the negotiated size. Replaces the library's, which cuts frames by the number of
 * messages: beyond 1 MiB it loses them without an error, or truncates.
 *
 * @param idOf - called once for each record that fits, in order.
 */
export function encodePublish(
  records: readonly OutgoingRecord[],
  settings: FrameSettings,
  idOf: (index: number) => bigint,
): EncodedBatch {
  const { filterOf } = settings
  const overhead = FRAME_HEADER_BYTES + ENTRY_HEADER_BYTES
  let capacity = FRAME_HEADER_BYTES
  const broken = new Map<number, unknown>()
  for (const [index, record] of records.entries()) {
    try {
      capacity += maxEncodedBytes(record) + overhead + (filterOf === undefined ? 0 : filterBytes(filterOf(record)))
    } catch (cause) {
      broken.set(index, cause)
    }
  }
  const writer = new FrameWriter(Buffer.allocUnsafe(capacity), settings, filterOf === undefined ? 1 : 2)
  const unsent: UnsentRecord[] = []
  for (const [index, record] of records.entries()) {
    try {
      if (broken.has(index)) throw broken.get(index)
      if (writer.add(record, filterOf?.(record))) writer.setId(idOf(index))
      else unsent.push({ index, cause: undefined })
    } catch (cause) {
      unsent.push({ index, cause })
    }
  }
  return { frames: writer.finish(), unsent }
}

/** Writes frames one behind the other into one buffer. */
class FrameWriter {
  readonly #target: Buffer
  readonly #settings: FrameSettings
  readonly #version: number
  #frameAt = 0
  #at = 0
  #count = 0
  #entryAt = 0

  constructor(target: Buffer, settings: FrameSettings, version: number) {
    this.#target = target
    this.#settings = settings
    this.#version = version
    this.#begin(0)
  }

  /** False where not even a frame of its own could hold the record. */
  add(record: OutgoingRecord, filter: string | undefined): boolean {
    const entryAt = this.#at
    const end = this.#encode(entryAt, record, filter)
    if (end - this.#frameAt <= this.#settings.frameMaxBytes) return this.#keep(entryAt, end)
    if (end - entryAt + FRAME_HEADER_BYTES > this.#settings.frameMaxBytes) return false
    this.#closeFrame()
    this.#target.copyWithin(entryAt + FRAME_HEADER_BYTES, entryAt, end)
    this.#begin(entryAt)
    return this.#keep(entryAt + FRAME_HEADER_BYTES, end + FRAME_HEADER_BYTES)
  }

  setId(id: bigint): void {
    this.#target.writeBigUInt64BE(id, this.#entryAt)
  }

  finish(): Buffer {
    if (this.#count === 0) return this.#target.subarray(0, this.#frameAt)
    this.#closeFrame()
    return this.#target.subarray(0, this.#at)
  }

  #encode(at: number, record: OutgoingRecord, filter: string | undefined): number {
    let start = at + 8
    if (this.#version === 2) start = writeFilter(this.#target, start, filter)
    const end = encodeRecord(this.#target, start + 4, record)
    this.#target.writeUInt32BE(end - start - 4, start)
    return end
  }

  #keep(entryAt: number, end: number): true {
    this.#entryAt = entryAt
    this.#at = end
    this.#count += 1
    return true
  }

  #begin(at: number): void {
    this.#frameAt = at
    this.#count = 0
    this.#at = at + FRAME_HEADER_BYTES
    this.#target.writeUInt16BE(PUBLISH, at + 4)
    this.#target.writeUInt16BE(this.#version, at + 6)
    this.#target.writeUInt8(this.#settings.publisherId, at + 8)
  }

  #closeFrame(): void {
    this.#target.writeUInt32BE(this.#at - this.#frameAt - 4, this.#frameAt)
    this.#target.writeUInt32BE(this.#count, this.#frameAt + 9)
  }
}

function filterBytes(filter: string | undefined): number {
  return 2 + (filter === undefined ? 0 : filter.length * 3)
}

function writeFilter(target: Buffer, at: number, filter: string | undefined): number {
  if (filter === undefined) return target.writeInt16BE(-1, at)
  const length = target.write(filter, at + 2, 'utf8')
  target.writeInt16BE(length, at)
  return at + 2 + length
}

/** Cuts records into batches of sub-entries: at most `size` each, each surely within a frame. */
export function cutSubEntries(
  records: readonly OutgoingRecord[],
  size: number,
  frameMaxBytes: number,
): { from: number; to: number }[] {
  const limit = frameMaxBytes - FRAME_HEADER_BYTES - BATCH_HEADER_BYTES - GZIP_MARGIN_BYTES
  const spans: { from: number; to: number }[] = []
  let from = 0
  let bytes = 0
  for (const [index, record] of records.entries()) {
    const more = maxEncodedBytes(record) + 4
    if (index > from && (bytes + more > limit || index - from >= Math.min(size, MAX_SUB_ENTRIES))) {
      spans.push({ from, to: index })
      from = index
      bytes = 0
    }
    bytes += more
  }
  if (from < records.length) spans.push({ from, to: records.length })
  return spans
}

/** A frame with one batch of sub-entries, or `undefined` where it would exceed the frame's limit. */
export function encodeSubEntries(
  records: readonly OutgoingRecord[],
  span: PublishedSpan,
  settings: FrameSettings,
  compression: 'none' | 'gzip',
): Buffer | undefined {
  let capacity = 0
  for (let index = span.from; index < span.to; index += 1)
    capacity += maxEncodedBytes(records[index] as OutgoingRecord) + 4
  const plain = Buffer.allocUnsafe(capacity)
  let at = 0
  for (let index = span.from; index < span.to; index += 1) {
    const end = encodeRecord(plain, at + 4, records[index] as OutgoingRecord)
    plain.writeUInt32BE(end - at - 4, at)
    at = end
  }
  const data = compression === 'gzip' ? gzipSync(plain.subarray(0, at), { level: 1 }) : plain.subarray(0, at)
  const total = FRAME_HEADER_BYTES + BATCH_HEADER_BYTES + data.length
  if (total > settings.frameMaxBytes) return undefined
  const head = Buffer.allocUnsafe(FRAME_HEADER_BYTES + BATCH_HEADER_BYTES)
  head.writeUInt32BE(total - 4, 0)
  head.writeUInt16BE(PUBLISH, 4)
  head.writeUInt16BE(1, 6)
  head.writeUInt8(settings.publisherId, 8)
  head.writeUInt32BE(1, 9)
  head.writeBigUInt64BE(span.id, 13)
  head.writeUInt8(0x80 | ((compression === 'gzip' ? 1 : 0) << 4), 21)
  head.writeUInt16BE(span.to - span.from, 22)
  head.writeUInt32BE(at, 24)
  head.writeUInt32BE(data.length, 28)
  return Buffer.concat([head, data])
}
