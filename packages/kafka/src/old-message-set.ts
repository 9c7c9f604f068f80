import { crc32 } from 'node:zlib'
import type { Decoding, ReadableBatch } from './batch-reader.js'
import { ByteReader } from './byte-reader.js'
import type { FetchedBatch, FetchedRecord } from './kafkajs-internals.js'
import { ReceivedRecord } from './received-record.js'

const CODEC_MASK = 0x07
const LOG_APPEND_TIME = 0x08
/** Offset and length. */
const HEAD_BYTES = 12
/** Checksum, magic, attributes, lengths of key and value. */
const MIN_MESSAGE_BYTES = 14
/** None: these formats have no headers. */
const NO_HEADERS = Buffer.from([0])
/** Messages of the oldest format have no time. */
const NO_TIME = -1

/** A message of the formats that brokers wrote before version 0.11 and keep until its segment is deleted (Kafka documentation, "Old Message Format"). */
interface OldMessage {
  readonly offset: number
  readonly magicByte: number
  readonly attributes: number
  readonly time: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** What its checksum covers, and what that should be. */
  readonly checked: Buffer
  readonly checksum: number
}

/** The next message, which is one or, compressed, holds several. The whole of it must be there. */
export function readOldMessages(reader: ByteReader): ReadableBatch {
  const offset = reader.int64()
  const bytes = messageBytes(reader)
  // How many a compressed one holds shows when it is read: its offset is that of the last one.
  const range = { first: offset, last: offset }
  const codec = bytes.readInt8(ATTRIBUTES_AT) & CODEC_MASK
  return { range, codec, read: (records, decoding) => readAll(readMessage(offset, bytes), records, decoding) }
}

/** Behind the checksum and the magic. */
const ATTRIBUTES_AT = 5

async function readAll(message: OldMessage, records: FetchedRecord[], decoding: Decoding): Promise<void> {
  requireIntact(message)
  const codec = message.attributes & CODEC_MASK
  if (codec === 0) {
    decoding.count(1, false)
    records.push(recordOf(message, message.offset, message.time))
    return
  }
  const set = await decoding.decompress(codec, message.value ?? Buffer.alloc(0))
  const inner = readInner(set, decoding)
  const isStamped = (message.attributes & LOG_APPEND_TIME) > 0
  // In the newer of the two formats, offsets within are relative, and the outer one is that of the last.
  const base = message.magicByte > 0 ? message.offset - (inner.at(-1)?.offset ?? 0) : 0
  for (const one of inner) records.push(recordOf(one, base + one.offset, isStamped ? message.time : one.time))
}

function readInner(set: Buffer, decoding: Decoding): OldMessage[] {
  const messages: OldMessage[] = []
  const reader = new ByteReader(set)
  while (reader.left > 0) {
    if (reader.left < HEAD_BYTES + MIN_MESSAGE_BYTES) throw new RangeError('a message ends beyond the batch')
    decoding.count(1, true)
    const message = readMessage(reader.int64(), messageBytes(reader))
    if ((message.attributes & CODEC_MASK) > 0) throw new RangeError('a compressed message within a compressed one')
    requireIntact(message)
    messages.push(message)
  }
  return messages
}

function readMessage(offset: number, bytes: Buffer): OldMessage {
  const reader = new ByteReader(bytes)
  const checksum = reader.int32() >>> 0
  const magicByte = reader.int8()
  const attributes = reader.int8()
  const time = magicByte > 0 ? reader.roundedInt64() : NO_TIME
  const key = readBytes(reader)
  const value = readBytes(reader)
  if (reader.at !== bytes.length) throw new RangeError('a message does not end where it says')
  return { offset, magicByte, attributes, time, key, value, checked: bytes.subarray(4), checksum }
}

function messageBytes(reader: ByteReader): Buffer {
  const length = reader.int32()
  if (length < MIN_MESSAGE_BYTES || length > reader.left) throw new RangeError('a message ends elsewhere than it says')
  return reader.bytes(length)
}

function readBytes(reader: ByteReader): Buffer | null {
  const length = reader.int32()
  if (length < 0) return null
  if (length > reader.left) throw new RangeError('a key or value ends beyond its message')
  return reader.bytes(length)
}

function requireIntact({ checked, checksum }: OldMessage): void {
  if (crc32(checked) !== checksum) throw new RangeError('its checksum is wrong')
}

function recordOf({ magicByte, attributes, key, value }: OldMessage, offset: number, time: number): ReceivedRecord {
  const batch: FetchedBatch = {
    firstOffset: String(offset),
    firstTimestamp: String(time),
    partitionLeaderEpoch: -1,
    inTransaction: false,
    isControlBatch: false,
    lastOffsetDelta: 0,
    producerId: '-1',
    producerEpoch: -1,
    firstSequence: -1,
    maxTimestamp: String(time),
    timestampType: (attributes & LOG_APPEND_TIME) > 0 ? 1 : 0,
    magicByte,
  }
  return new ReceivedRecord(batch, attributes, offset, time, key, value, NO_HEADERS, 0)
}
