import kafkajs from 'kafkajs'
import type { FetchedBatch, FetchedPartition, FetchedRecord, FetchResponse } from './kafkajs-internals.js'

/** Bytes of a batch before its records. */
const HEAD_BYTES = 61

const MAGIC = 2
const CODEC_MASK = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** Something that only kafkajs's own decoder can deal with: older formats, numbers beyond 2^53. */
class Unusual extends Error {}

/**
 * Decodes a Fetch response of version 11 (Kafka protocol guide) into what kafkajs makes of it. `undefined` where it holds
 * something unusual: then kafkajs's own decoder is to be asked.
 */
export async function decodeFetchResponse(raw: Buffer): Promise<FetchResponse | undefined> {
  try {
    const reader = new Reader(raw)
    const clientSideThrottleTime = reader.int32()
    const errorCode = reader.int16()
    const sessionId = reader.int32()
    const responses: { topicName: string; partitions: FetchedPartition[] }[] = []
    for (let topics = reader.int32(); topics > 0; topics -= 1) {
      const topicName = reader.text(reader.int16())
      const partitions: FetchedPartition[] = []
      for (let count = reader.int32(); count > 0; count -= 1) partitions.push(await readPartition(reader))
      responses.push({ topicName, partitions })
    }
    return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses }
  } catch (error) {
    if (error instanceof Unusual) return undefined
    throw error
  }
}

async function readPartition(reader: Reader): Promise<FetchedPartition> {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const highWatermark = String(reader.int64())
  const lastStableOffset = String(reader.int64())
  const lastStartOffset = String(reader.int64())
  const abortedTransactions: { producerId: string; firstOffset: string }[] = []
  for (let count = reader.int32(); count > 0; count -= 1) {
    abortedTransactions.push({ producerId: String(reader.int64()), firstOffset: String(reader.int64()) })
  }
  const preferredReadReplica = reader.int32()
  const size = reader.int32()
  const messages = size <= 0 ? [] : await readBatches(new Reader(reader.bytes(size)))
  return {
    partition,
    errorCode,
    highWatermark,
    lastStableOffset,
    lastStartOffset,
    abortedTransactions,
    preferredReadReplica,
    messages,
  }
}

/** All records of all batches. The last batch may be cut off by the fetch's limit: it comes again. */
async function readBatches(reader: Reader): Promise<FetchedRecord[]> {
  const records: FetchedRecord[] = []
  while (reader.left >= HEAD_BYTES) {
    const firstOffset = reader.int64()
    const length = reader.int32()
    if (reader.left < length) break
    const end = reader.at + length
    const partitionLeaderEpoch = reader.int32()
    if (reader.int8() !== MAGIC) throw new Unusual()
    reader.skip(4)
    const attributes = reader.int16()
    const lastOffsetDelta = reader.int32()
    const firstTimestamp = reader.int64()
    const maxTimestamp = reader.int64()
    const batch: FetchedBatch = {
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
      timestampType: (attributes & LOG_APPEND_TIME) > 0 ? 1 : 0,
      magicByte: MAGIC,
    }
    const count = reader.int32()
    const codec = attributes & CODEC_MASK
    const body = codec === 0 ? reader : new Reader(await decompress(codec, reader.bytes(end - reader.at)))
    const stamp = batch.timestampType === 1 ? batch.maxTimestamp : undefined
    for (let index = 0; index < count; index += 1)
      records.push(readRecord(body, batch, firstOffset, firstTimestamp, stamp))
    reader.at = end
  }
  return records
}

function readRecord(
  reader: Reader,
  batchContext: FetchedBatch,
  firstOffset: number,
  firstTimestamp: number,
  stamp: string | undefined,
): FetchedRecord {
  const end = reader.varint() + reader.at
  const attributes = reader.int8()
  const timestamp = firstTimestamp + reader.varint()
  const offset = firstOffset + reader.varint()
  const key = reader.nullableBytes()
  const value = reader.nullableBytes()
  const headers = readHeaders(reader)
  reader.at = end
  return {
    magicByte: MAGIC,
    attributes,
    timestamp: stamp ?? String(timestamp),
    offset: String(offset),
    key,
    value,
    headers,
    isControlRecord: batchContext.isControlBatch,
    batchContext,
  }
}

type HeaderValue = Buffer | null

function readHeaders(reader: Reader): Record<string, HeaderValue | HeaderValue[]> {
  const headers: Record<string, HeaderValue | HeaderValue[]> = {}
  for (let count = reader.varint(); count > 0; count -= 1) {
    const name = reader.text(reader.varint())
    const value = reader.nullableBytes()
    const earlier = Object.hasOwn(headers, name) ? headers[name] : undefined
    const all = earlier === undefined ? value : Array.isArray(earlier) ? [...earlier, value] : [earlier, value]
    if (name === '__proto__')
      Object.defineProperty(headers, name, { value: all, enumerable: true, configurable: true, writable: true })
    else headers[name] = all
  }
  return headers
}

type Codecs = Record<number, (() => { decompress(buffer: Buffer): Promise<Buffer> }) | undefined>

function decompress(codec: number, buffer: Buffer): Promise<Buffer> {
  const make = (kafkajs.CompressionCodecs as unknown as Codecs)[codec]
  if (make === undefined) throw new Unusual()
  return make().decompress(buffer)
}

class Reader {
  at = 0
  readonly #buffer: Buffer

  constructor(buffer: Buffer) {
    this.#buffer = buffer
  }

  get left(): number {
    return this.#buffer.length - this.at
  }

  skip(bytes: number): void {
    this.at += bytes
  }

  int8(): number {
    this.at += 1
    return this.#buffer.readInt8(this.at - 1)
  }

  int16(): number {
    this.at += 2
    return this.#buffer.readInt16BE(this.at - 2)
  }

  int32(): number {
    this.at += 4
    return this.#buffer.readInt32BE(this.at - 4)
  }

  int64(): number {
    const value = this.int32() * 0x1_0000_0000 + this.#buffer.readUInt32BE(this.at)
    this.at += 4
    if (!Number.isSafeInteger(value)) throw new Unusual()
    return value
  }

  /** A zigzag varint of up to 64 bits. */
  varint(): number {
    const first = this.#buffer[this.at] as number
    this.at += 1
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let value = first & 0x7f
    let factor = 0x80
    for (let byte = 0x80; byte >= 0x80; factor *= 0x80) {
      byte = this.#buffer[this.at] as number
      this.at += 1
      value += (byte & 0x7f) * factor
    }
    if (!Number.isSafeInteger(value)) throw new Unusual()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  bytes(length: number): Buffer {
    this.at += length
    return this.#buffer.subarray(this.at - length, this.at)
  }

  nullableBytes(): Buffer | null {
    const length = this.varint()
    return length < 0 ? null : this.bytes(length)
  }

  text(length: number): string {
    if (length <= 0) return ''
    this.at += length
    return this.#buffer.toString('utf8', this.at - length, this.at)
  }
}
