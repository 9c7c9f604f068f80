import { isStreamError, StreamError } from '@streamswitch/core/driver'
import { ByteReader } from './byte-reader.js'
import { compressionName, decompress } from './compression.js'
import { crc32c } from './crc32c.js'
import type { FetchedBatch, FetchedRecord } from './kafkajs-internals.js'
import { readOldMessages } from './old-message-set.js'
import { ReceivedRecord } from './received-record.js'

/** Size of a batch's header, in bytes. */
const HEAD_BYTES = 61
/**
 * Bytes of a batch, or of an older message, up to and including its magic. Offset and length precede what the length
 * counts.
 */
const MAGIC_AT = 16
const LENGTH_AT = 8
const LENGTH_FROM = 12

const MAGIC = 2
/** Minimum size of a record, in bytes. */
const MIN_RECORD_BYTES = 7
/** Approximate memory of a record besides its bytes. */
const RECORD_BYTES = 128
/** Maximum number of records of a response: the rest behind the batch that exceeds it is fetched with the next one. */
const MAX_RECORDS = 250_000
const CODEC_MASK = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** Something unreadable in a partition. Reading stops before it. */
export interface Unreadable {
  /** Its offsets; `undefined` when the broker itself can't read it, and doesn't say how far. */
  readonly range: OffsetRange | undefined
  /** UNSUPPORTED, TOO_LARGE or SERIALIZATION; UNAVAILABLE when the broker itself can't read it. */
  readonly error: StreamError
}

interface OffsetRange {
  readonly first: number
  readonly last: number
}

/** Tracks what the batches of a response use of its limits. Batches beyond them are fetched with the next response. */
export class Decoding {
  readonly #maxBytes: number
  /** Decompressed bytes; each record counts as {@link RECORD_BYTES} more. */
  #bytes = 0
  #records = 0
  /** The same before the current batch. */
  #bytesBefore = 0

  /** @param maxDecompressedBytes - limit per batch; also ends the response, after the batch that exceeds it. */
  constructor({ maxDecompressedBytes }: { readonly maxDecompressedBytes: number }) {
    this.#maxBytes = maxDecompressedBytes
  }

  get isUsedUp(): boolean {
    return this.#bytes >= this.#maxBytes || this.#records >= MAX_RECORDS
  }

  begin(): void {
    this.#bytesBefore = this.#bytes
  }

  /** The current batch can't be read: nothing of it is kept. */
  undo(): void {
    this.#bytes = this.#bytesBefore
  }

  /** Decompresses the current batch. Rejects with UNSUPPORTED, TOO_LARGE or SERIALIZATION. */
  async decompress(codec: number, bytes: Buffer): Promise<Buffer> {
    const decompressed = await decompress(codec, bytes, this.#maxBytes)
    this.#bytes += decompressed.length
    return decompressed
  }

  /**
   * Counts records of the current batch before they are read. Throws TOO_LARGE when those of a compressed one take too
   * much memory.
   */
  count(records: number, isCompressed: boolean): void {
    this.#records += records
    if (!isCompressed) return
    this.#bytes += records * RECORD_BYTES
    if (this.#bytes - this.#bytesBefore <= this.#maxBytes) return
    throw new StreamError(
      `its bytes and ${RECORD_BYTES} more for each of its records exceed ${this.#maxBytes} (maxDecompressedBytes)`,
      { code: 'TOO_LARGE', retryable: false, transport: 'kafka', operation: 'consume' },
    )
  }
}

interface Batches {
  readonly records: FetchedRecord[]
  /** The offset behind the last batch that was read, even if it holds no records; `undefined` when none was. */
  readonly nextOffset: number | undefined
  readonly unreadable: Unreadable | undefined
}

/** Reads all records of all batches. The last batch may be cut off by the fetch's limit: it is fetched again. */
export async function readBatches(reader: ByteReader, decoding: Decoding): Promise<Batches> {
  const records: FetchedRecord[] = []
  let nextOffset: number | undefined
  while (isWhole(reader) && !decoding.isUsedUp) {
    const known = records.length
    decoding.begin()
    let batch: ReadableBatch | undefined
    try {
      batch = reader.peekInt8(MAGIC_AT) < MAGIC ? readOldMessages(reader) : readBatch(reader)
      await batch.read(records, decoding)
    } catch (error) {
      records.length = known
      decoding.undo()
      return { records, nextOffset, unreadable: { range: batch?.range, error: unreadableError(batch, error) } }
    }
    nextOffset = batch.range.last + 1
  }
  return { records, nextOffset, unreadable: undefined }
}

/** Returns whether a whole batch, or older message, follows. */
function isWhole(reader: ByteReader): boolean {
  if (reader.left <= MAGIC_AT) return false
  const bytes = LENGTH_FROM + reader.peekInt32(LENGTH_AT)
  const least = reader.peekInt8(MAGIC_AT) < MAGIC ? MAGIC_AT + 1 : HEAD_BYTES
  return reader.left >= Math.max(bytes, least)
}

/** A readable batch, or an older message with those in it. */
export interface ReadableBatch {
  readonly range: OffsetRange
  readonly codec: number
  /**
   * Adds its records. Rejects with a StreamError for what can't be decompressed, with any other error when it is
   * damaged.
   */
  read(records: FetchedRecord[], decoding: Decoding): Promise<void>
}

/** A batch whose header was read. */
interface Batch {
  readonly range: OffsetRange
  readonly head: FetchedBatch
  readonly firstTimestamp: number
  /** The broker's timestamp, if it stamps records. */
  readonly stamp: number | undefined
  readonly codec: number
  readonly count: number
  readonly body: Buffer
  /** Everything behind offset and length, and its expected checksum. */
  readonly whole: Buffer
  readonly checksum: number
}

function readBatch(reader: ByteReader): ReadableBatch {
  const batch = readHead(reader)
  return {
    range: batch.range,
    codec: batch.codec,
    read: (records, decoding) => readRecords(batch, records, decoding),
  }
}

function readHead(reader: ByteReader): Batch {
  const firstOffset = reader.int64()
  const length = reader.int32()
  if (length < HEAD_BYTES - LENGTH_FROM) throw new RangeError('it is shorter than its header')
  const end = reader.at + length
  const whole = reader.rest(length)
  const partitionLeaderEpoch = reader.int32()
  const magicByte = reader.int8()
  const checksum = reader.int32()
  const attributes = reader.int16()
  const lastOffsetDelta = reader.int32()
  if (!Number.isSafeInteger(firstOffset + lastOffsetDelta)) throw new RangeError('an offset beyond 2^53')
  const firstTimestamp = reader.roundedInt64()
  const maxTimestamp = reader.roundedInt64()
  const isStamped = (attributes & LOG_APPEND_TIME) > 0
  const head: FetchedBatch = {
    firstOffset: String(firstOffset),
    firstTimestamp: String(firstTimestamp),
    partitionLeaderEpoch,
    inTransaction: (attributes & TRANSACTIONAL) > 0,
    isControlBatch: (attributes & CONTROL) > 0,
    lastOffsetDelta,
    producerId: reader.int64Text(),
    producerEpoch: reader.int16(),
    firstSequence: reader.int32(),
    maxTimestamp: String(maxTimestamp),
    timestampType: isStamped ? 1 : 0,
    magicByte,
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
  if (head.magicByte !== MAGIC) throw new RangeError(`format ${head.magicByte} is unknown to this version`)
  // Only compressed ones are checked before: damage to others shows by their lengths, or is found by the codec.
  if (codec !== 0 && !isIntact(batch)) throw new RangeError('its checksum is wrong')
  const source = codec === 0 ? body : await decoding.decompress(codec, body)
  if (count * MIN_RECORD_BYTES > source.length) throw new RangeError('it has fewer records than it says')
  decoding.count(count, codec !== 0)
  const reader = new ByteReader(source)
  for (let index = 0; index < count; index += 1)
    records.push(readRecord(reader, source, head, range, firstTimestamp, stamp))
}

/** Start of the part that the checksum covers, behind offset and length. */
const CHECKED_FROM = 9

function isIntact({ whole, checksum }: Batch): boolean {
  return crc32c(whole, CHECKED_FROM) === checksum >>> 0
}

/** @param batch - `undefined` when not even its header could be read. */
function unreadableError(batch: ReadableBatch | undefined, cause: unknown): StreamError {
  const { range, codec = 0 } = batch ?? {}
  const offsets = range === undefined ? '' : ` at offsets ${range.first} to ${range.last}`
  const compression = codec === 0 ? '' : `, compressed by ${compressionName(codec) ?? `type ${codec}`},`
  const detail = isStreamError(cause) ? cause.message : `the batch is damaged (${String(cause)})`
  return new StreamError(`the batch${offsets}${compression} can't be read: ${detail}`, {
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
  const time = firstTimestamp + reader.roundedVarint()
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

/** They are read later; whether they can be is checked now. */
function skipHeaders(reader: ByteReader): void {
  for (let count = reader.varint(); count > 0; count -= 1) {
    reader.skip(reader.varint())
    const valueLength = reader.varint()
    if (valueLength > 0) reader.skip(valueLength)
  }
}
