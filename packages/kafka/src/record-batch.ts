import { type OutgoingRecord, WIRE_HEADERS } from '@streamswitch/core/driver'
import { crc32c } from './crc32c.js'
import { type NativeFields, nativeFieldsOf } from './native-form.js'

/**
 * Maximum time that a record may be stamped ahead of the clock, with some margin for clocks that differ, in
 * milliseconds.
 */
const MAX_AHEAD_MS = 55 * 60_000

/** Bytes of a batch before its records, and the start of the part that its checksum covers. */
const HEAD_BYTES = 61
const CHECKED_FROM = 21

const MAGIC = 2
const NO_HEADERS: NonNullable<NativeFields['headers']> = []
const ID_NAME = Buffer.from(WIRE_HEADERS.id)
const TIMESTAMP_NAME = Buffer.from(WIRE_HEADERS.timestamp)

/**
 * A record to be sent through kafkajs, which only reads `partition` and `value` and passes it on to {@link
 * encodeRecords}. Its key and headers are sent in UTF-8, a tombstone without value, the id as a header. Brokers refuse
 * timestamps more than an hour ahead (`message.timestamp.after.max.ms`): such a record is stamped with the current
 * time, and a header holds its own. Times before 1970 are stamped as 1970.
 */
export class NativeRecord {
  readonly partition: number
  /** `null` is a tombstone. */
  readonly value: Buffer | null
  readonly record: OutgoingRecord
  readonly timestamp: number
  /** Bytes of a received record that is forwarded. */
  readonly original: NativeFields | undefined
  readonly #restamped: boolean

  /** @param restamp - stamps the record with the current time, whatever its own is. */
  constructor(record: OutgoingRecord, partition: number, now: number, restamp = false) {
    this.partition = partition
    this.value = record.payload ?? null
    this.record = record
    this.original = nativeFieldsOf(record)
    this.#restamped = restamp || !(record.timestamp <= now + MAX_AHEAD_MS)
    this.timestamp = this.#restamped ? now : Math.max(0, Math.trunc(record.timestamp))
  }

  /** The time that the timestamp can't represent, for a header. */
  get laterTime(): string | undefined {
    const { timestamp } = this.record
    return this.#restamped && timestamp >= 0 && Number.isSafeInteger(timestamp) ? String(timestamp) : undefined
  }
}

/** Fields of a batch's header. */
export interface BatchHead {
  /** The compression's code. */
  readonly attributes: number
  readonly count: number
  readonly firstTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly firstSequence: number
}

/** The concatenated records of a batch, before compression (Kafka protocol guide, "Record"). */
export function encodeRecords(records: readonly NativeRecord[], firstTimestamp: number): Buffer {
  const sizes = new Int32Array(records.length)
  let total = 0
  for (let index = 0; index < records.length; index += 1) {
    const size = bodySize(records[index] as NativeRecord, index, firstTimestamp)
    sizes[index] = size
    total += varintSize(size) + size
  }
  const writer = new Writer(Buffer.allocUnsafe(total))
  for (let index = 0; index < records.length; index += 1) {
    writer.varint(sizes[index] as number)
    writeBody(writer, records[index] as NativeRecord, index, firstTimestamp)
  }
  return writer.buffer
}

/** A whole batch (Kafka protocol guide, "Record Batch", magic 2). */
export function encodeBatch(head: BatchHead, records: Uint8Array): Buffer {
  const batch = Buffer.allocUnsafe(HEAD_BYTES + records.length)
  batch.writeBigInt64BE(0n, 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(0, 12)
  batch.writeInt8(MAGIC, 16)
  batch.writeInt16BE(head.attributes, 21)
  batch.writeInt32BE(head.count - 1, 23)
  batch.writeBigInt64BE(BigInt(head.firstTimestamp), 27)
  batch.writeBigInt64BE(BigInt(head.maxTimestamp), 35)
  batch.writeBigInt64BE(head.producerId, 43)
  batch.writeInt16BE(head.producerEpoch, 51)
  batch.writeInt32BE(head.firstSequence, 53)
  batch.writeInt32BE(head.count, 57)
  batch.set(records, HEAD_BYTES)
  batch.writeUInt32BE(crc32c(batch, CHECKED_FROM), 17)
  return batch
}

function bodySize(native: NativeRecord, index: number, firstTimestamp: number): number {
  const { record, value, laterTime } = native
  let size = 1 + varintSize(native.timestamp - firstTimestamp) + varintSize(index) + keySize(native) + bytesSize(value)
  let headers = 1
  size += bytesSize(ID_NAME) + textSize(record.id)
  if (laterTime !== undefined) {
    headers += 1
    size += bytesSize(TIMESTAMP_NAME) + textSize(laterTime)
  }
  const kept = native.original?.kept
  for (const name in record.headers) {
    if (kept?.has(name)) continue
    headers += 1
    size += textSize(name) + textSize(record.headers[name])
  }
  for (const [name, bytes] of native.original?.headers ?? NO_HEADERS) {
    headers += 1
    size += bytesSize(name) + bytesSize(bytes)
  }
  return size + varintSize(headers)
}

function writeBody(writer: Writer, native: NativeRecord, index: number, firstTimestamp: number): void {
  const { record, value, laterTime } = native
  writer.byte(0)
  writer.varint(native.timestamp - firstTimestamp)
  writer.varint(index)
  if (native.original === undefined) writer.text(record.key)
  else writer.bytes(native.original.key)
  writer.bytes(value)
  const received = native.original?.headers ?? NO_HEADERS
  const kept = native.original?.kept
  let headers = (laterTime === undefined ? 1 : 2) + received.length
  for (const name in record.headers) if (!kept?.has(name)) headers += 1
  writer.varint(headers)
  for (const [name, bytes] of received) {
    writer.bytes(name)
    writer.bytes(bytes)
  }
  for (const name in record.headers) {
    if (kept?.has(name)) continue
    writer.text(name)
    writer.text(record.headers[name])
  }
  writer.bytes(ID_NAME)
  writer.text(record.id)
  if (laterTime === undefined) return
  writer.bytes(TIMESTAMP_NAME)
  writer.text(laterTime)
}

function keySize({ record, original }: NativeRecord): number {
  return original === undefined ? textSize(record.key) : bytesSize(original.key)
}

function textSize(text: string | undefined): number {
  if (text === undefined) return 1
  const bytes = Buffer.byteLength(text)
  return varintSize(bytes) + bytes
}

function bytesSize(bytes: Buffer | null): number {
  return bytes === null ? 1 : varintSize(bytes.length) + bytes.length
}

/** Size of a number as a zigzag varint, in bytes. Numbers up to 2^52 in either direction are exact. */
function varintSize(value: number): number {
  let rest = zigzag(value)
  let size = 1
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) size += 1
  return size
}

function zigzag(value: number): number {
  return value < 0 ? -2 * value - 1 : 2 * value
}

class Writer {
  readonly buffer: Buffer
  #at = 0

  constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  byte(value: number): void {
    this.buffer[this.#at] = value
    this.#at += 1
  }

  varint(value: number): void {
    let rest = zigzag(value)
    for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) this.byte((rest % 0x80) | 0x80)
    this.byte(rest)
  }

  text(text: string | undefined): void {
    if (text === undefined) return this.varint(-1)
    this.varint(Buffer.byteLength(text))
    this.#at += this.buffer.write(text, this.#at, 'utf8')
  }

  bytes(bytes: Buffer | null): void {
    if (bytes === null) return this.varint(-1)
    this.varint(bytes.length)
    this.#at += bytes.copy(this.buffer, this.#at)
  }
}
