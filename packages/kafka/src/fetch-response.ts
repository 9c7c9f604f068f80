import kafkajs from 'kafkajs'
import { BeyondNumbers, ByteReader } from './byte-reader.js'
import type { FetchedBatch, FetchedPartition, FetchedRecord, FetchResponse } from './kafkajs-internals.js'
import { ReceivedRecord } from './received-record.js'

/** Bytes of a batch before its records. */
const HEAD_BYTES = 61

const MAGIC = 2
const CODEC_MASK = 0x07
const LOG_APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** What a response says of a partition besides its records. */
export interface FetchExtent {
  /** The offset behind the last batch that came whole, whatever records it holds; `undefined` where none did. */
  readonly nextOffset: number | undefined
  /** Below it no transaction is open. */
  readonly lastStableOffset: number
  readonly abortedTransactions: FetchedPartition['abortedTransactions']
  /** The broker had nothing to send, in any partition, and did not hold anything back either: up to the last stable offset there is nothing to read. */
  exhausted: boolean
}

const EXTENTS = new WeakMap<readonly FetchedRecord[], FetchExtent>()

/** What the response said of the partition that these records came in; `undefined` where kafkajs has decoded it. */
export function extentOf(records: readonly FetchedRecord[]): FetchExtent | undefined {
  return EXTENTS.get(records)
}

/** Something that only kafkajs's own decoder can deal with: older formats, other codecs. */
class Unusual extends Error {}

/**
 * Decodes a Fetch response of version 11 (Kafka protocol guide) into what kafkajs makes of it. `undefined` where it holds
 * something unusual: then kafkajs's own decoder is to be asked.
 */
export async function decodeFetchResponse(raw: Buffer): Promise<FetchResponse | undefined> {
  try {
    const reader = new ByteReader(raw)
    const clientSideThrottleTime = reader.int32()
    const errorCode = reader.int16()
    const sessionId = reader.int32()
    const responses: { topicName: string; partitions: FetchedPartition[] }[] = []
    let isEmpty = clientSideThrottleTime === 0
    for (let topics = reader.int32(); topics > 0; topics -= 1) {
      const topicName = reader.text(reader.int16())
      const partitions: FetchedPartition[] = []
      for (let count = reader.int32(); count > 0; count -= 1) {
        const { partition, size } = await readPartition(reader)
        partitions.push(partition)
        if (size > 0) isEmpty = false
      }
      responses.push({ topicName, partitions })
    }
    if (isEmpty) markExhausted(responses)
    return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses }
  } catch (error) {
    if (error instanceof Unusual || error instanceof BeyondNumbers) return undefined
    throw error
  }
}

function markExhausted(responses: FetchResponse['responses']): void {
  for (const { messages, errorCode } of responses.flatMap(({ partitions }) => partitions)) {
    const extent = EXTENTS.get(messages)
    if (extent !== undefined && errorCode === 0) extent.exhausted = true
  }
}

async function readPartition(reader: ByteReader): Promise<{ partition: FetchedPartition; size: number }> {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const highWatermark = String(reader.int64())
  const lastStableOffset = reader.int64()
  const lastStartOffset = String(reader.int64())
  const abortedTransactions: { producerId: string; firstOffset: string }[] = []
  for (let count = reader.int32(); count > 0; count -= 1) {
    abortedTransactions.push({ producerId: String(reader.int64()), firstOffset: String(reader.int64()) })
  }
  const preferredReadReplica = reader.int32()
  const size = reader.int32()
  const { records: messages, nextOffset } = await readBatches(new ByteReader(reader.bytes(Math.max(0, size))))
  EXTENTS.set(messages, { nextOffset, lastStableOffset, abortedTransactions, exhausted: false })
  const read: FetchedPartition = {
    partition,
    errorCode,
    highWatermark,
    lastStableOffset: String(lastStableOffset),
    lastStartOffset,
    abortedTransactions,
    preferredReadReplica,
    messages,
  }
  return { partition: read, size }
}

interface Batches {
  readonly records: FetchedRecord[]
  readonly nextOffset: number | undefined
}

/** All records of all batches. The last batch may be cut off by the fetch's limit: it comes again. */
async function readBatches(reader: ByteReader): Promise<Batches> {
  const records: FetchedRecord[] = []
  let nextOffset: number | undefined
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
    const rest = reader.bytes(end - reader.at)
    const source = codec === 0 ? rest : await decompress(codec, rest)
    const body = new ByteReader(source)
    const stamp = batch.timestampType === 1 ? maxTimestamp : undefined
    for (let index = 0; index < count; index += 1)
      records.push(readRecord(body, source, batch, firstOffset, firstTimestamp, stamp))
    nextOffset = firstOffset + lastOffsetDelta + 1
  }
  return { records, nextOffset }
}

function readRecord(
  reader: ByteReader,
  source: Buffer,
  batch: FetchedBatch,
  firstOffset: number,
  firstTimestamp: number,
  stamp: number | undefined,
): ReceivedRecord {
  const end = reader.varint() + reader.at
  const attributes = reader.int8()
  const time = firstTimestamp + reader.varint()
  const position = firstOffset + reader.varint()
  const key = reader.nullableBytes()
  const value = reader.nullableBytes()
  const headersAt = reader.at
  skipHeaders(reader)
  if (reader.at !== end) throw new Unusual()
  return new ReceivedRecord(batch, attributes, position, stamp ?? time, key, value, source, headersAt)
}

/** They are read later; that they can be is seen now. */
function skipHeaders(reader: ByteReader): void {
  for (let count = reader.varint(); count > 0; count -= 1) {
    reader.skip(reader.varint())
    reader.skip(Math.max(0, reader.varint()))
  }
}

type Codecs = Record<number, (() => { decompress(buffer: Buffer): Promise<Buffer> }) | undefined>

function decompress(codec: number, buffer: Buffer): Promise<Buffer> {
  const make = (kafkajs.CompressionCodecs as unknown as Codecs)[codec]
  if (make === undefined) throw new Unusual()
  return make().decompress(buffer)
}
