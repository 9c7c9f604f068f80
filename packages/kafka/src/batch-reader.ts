import { isStreamError, StreamError } from '@streamswitch/core/driver'
import { BeyondNumbers, ByteReader } from './byte-reader.js'
import { compressionName, decompress } from './compression.js'
import { crc32c } from './crc32c.js'
import type { FetchedBatch, FetchedRecord } from './kafkajs-internals.js'
import { ReceivedRecord } from './received-record.js'

/** Bytes of a batch before its records. */
const HEAD_BYTES = 61
/** Where its length ends, which counts what follows. */
const LENGTH_END = 12

const MAGIC = 2
const CODEC_MASK = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** Something that only kafkajs's own decoder can deal with: older formats. */
export class Unusual extends Error {}

/** Something in a partition that can't be read. Reading stays before it. */
export interface Unreadable {
  /** Its offsets; `undefined` where the broker itself can't read it, and doesn't say how far. */
  readonly range: OffsetRange | undefined
  /** UNSUPPORTED, TOO_LARGE or SERIALIZATION; UNAVAILABLE where the broker itself can't read it. */
  readonly error: StreamError
}

interface OffsetRange {
  readonly first: number
  readonly last: number
}

/** What is left of a response's limit. What doesn't fit any more counts as cut off: it comes with the next one. */
export interface Decoding {
  readonly maxDecompressedBytes: number
  decompressedBytes: number
}

interface Batches {
  readonly records: FetchedRecord[]
  /** The offset behind the last batch that was read, whatever records it holds; `undefined` where none was. */
  readonly nextOffset: number | undefined
  readonly unreadable: Unreadable | undefined
}

/** All records of all batches. The last batch may be cut off by the fetch's limit: it comes again. */
export async function readBatches(reader: ByteReader, decoding: Decoding): Promise<Batches> {
  const records: FetchedRecord[] = []
  let nextOffset: number | undefined
  while (reader.left >= HEAD_BYTES) {
    const batch = readBatch(reader)
    if (batch === undefined) break
    if ('damage' in batch) {
      const { range, damage } = batch
      return { records, nextOffset, unreadable: { range, error: unreadableError({ range, codec: 0 }, damage) } }
    }
    if (batch.codec !== 0 && decoding.decompressedBytes >= decoding.maxDecompressedBytes) break
    const known = records.length
    try {
      await readRecords(batch, records, decoding)
    } catch (error) {
      if (error instanceof BeyondNumbers && isIntact(batch)) throw error
      records.length = known
      return { records, nextOffset, unreadable: { range: batch.range, error: unreadableError(batch, error) } }
    }
    nextOffset = batch.range.last + 1
  }
  return { records, nextOffset, unreadable: undefined }
}

/** A batch whose head was read. */
interface Batch {
  readonly range: OffsetRange
  readonly head: FetchedBatch
  readonly firstTimestamp: number
  /** The broker's time, where it stamps records. */
  readonly stamp: number | undefined
  readonly codec: number
  readonly count: number
  readonly body: Buffer
  /** Everything behind offset and length, and what its checksum should be. */
  readonly whole: Buffer
  readonly checksum: number
}

/** A batch whose length can't be right, so that nothing behind it can be found either. */
interface DamagedBatch {
  readonly range: OffsetRange
  readonly damage: RangeError
}

/** `undefined` for a batch that is cut off. */
function readBatch(reader: ByteReader): Batch | DamagedBatch | undefined {
  const firstOffset = reader.int64()
  const length = reader.int32()
  if (length < HEAD_BYTES - LENGTH_END) {
    const damage = new RangeError(`a batch of ${length} bytes is shorter than its head`)
    return { range: { first: firstOffset, last: firstOffset }, damage }
  }
  if (reader.left < length) return undefined
  const end = reader.at + length
  const whole = reader.rest(length)
  const partitionLeaderEpoch = reader.int32()
  if (reader.int8() !== MAGIC) throw new Unusual()
  const checksum = reader.int32()
  const attributes = reader.int16()
  const lastOffsetDelta = reader.int32()
  if (!Number.isSafeInteger(firstOffset + lastOffsetDelta)) throw new BeyondNumbers()
  const firstTimestamp = reader.int64()
  const maxTimestamp = reader.int64()
  const isStamped = (attributes & LOG_APPEND_TIME) > 0
  const head: FetchedBatch = {
    firstOffset: String(firstOffset),
    firstTimestamp: String(firstTimestamp),
    partitionLeaderEpoch,
    inTransaction: (attributes & TRANSACTIONAL) > 0,
    isControlBatch: (attributes & CONTROL) > 0,
    lastOffsetDelta,
    producerId: String(reader.int64()),
    producerEpoch: reader.int16(),
    firstSequence: reader.int32(),
    maxTimestamp: String(maxTimestamp),
    timestampType: isStamped ? 1 : 0,
    magicByte: MAGIC,
  }
  return {
    range: { first: firstOffset, last: firstOffset + Math.max(0, lastOffsetDelta) },
    head,
    firstTimestamp,
    stamp: isStamped ? maxTimestamp : undefined,
    codec: attributes & CODEC_MASK,
    count: reader.int32(),
    body: reader.bytes(end - reader.at),
    whole,
    checksum,
  }
}

async function readRecords(batch: Batch, records: FetchedRecord[], decoding: Decoding): Promise<void> {
  const { codec, body, head, count, range, firstTimestamp, stamp } = batch
  // Only compressed ones are checked before: damaged records that aren't compressed show by their lengths, or are the codec's to find.
  if (codec !== 0 && !isIntact(batch)) throw new RangeError('its checksum is wrong')
  const source = codec === 0 ? body : await decompress(codec, body, decoding.maxDecompressedBytes)
  if (codec !== 0) decoding.decompressedBytes += source.length
  const reader = new ByteReader(source)
  for (let index = 0; index < count; index += 1)
    records.push(readRecord(reader, source, head, range, firstTimestamp, stamp))
}

/** Where in a batch, behind its offset and length, the part begins that its checksum covers. */
const CHECKED_FROM = 9

function isIntact({ whole, checksum }: Batch): boolean {
  return crc32c(whole, CHECKED_FROM) === checksum >>> 0
}

function unreadableError(
  { range: { first, last }, codec }: Pick<Batch, 'range' | 'codec'>,
  cause: unknown,
): StreamError {
  const compression = codec === 0 ? '' : `, compressed by ${compressionName(codec) ?? `type ${codec}`},`
  const detail = isStreamError(cause) ? cause.message : `the batch is damaged (${String(cause)})`
  return new StreamError(`the batch at offsets ${first} to ${last}${compression} can't be read: ${detail}`, {
    code: isStreamError(cause) ? cause.code : 'SERIALIZATION',
    retryable: false,
    transport: 'kafka',
    operation: 'consume',
    cause,
  })
}

function readRecord(
  reader: ByteReader,
  source: Buffer,
  batch: FetchedBatch,
  range: OffsetRange,
  firstTimestamp: number,
  stamp: number | undefined,
): ReceivedRecord {
  const end = reader.varint() + reader.at
  const attributes = reader.int8()
  const time = firstTimestamp + reader.varint()
  const position = range.first + reader.varint()
  if (position < range.first || position > range.last)
    throw new RangeError(`a record with offset ${position} in a batch from ${range.first} to ${range.last}`)
  const key = reader.nullableBytes()
  const value = reader.nullableBytes()
  const headersAt = reader.at
  skipHeaders(reader)
  if (reader.at !== end || end > source.length) throw new RangeError('a record does not end where it says')
  return new ReceivedRecord(batch, attributes, position, stamp ?? time, key, value, source, headersAt)
}

/** They are read later; that they can be is seen now. */
function skipHeaders(reader: ByteReader): void {
  for (let count = reader.varint(); count > 0; count -= 1) {
    reader.skip(reader.varint())
    const valueLength = reader.varint()
    if (valueLength > 0) reader.skip(valueLength)
  }
}
