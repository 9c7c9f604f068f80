import { StreamError } from '@streamswitch/core/driver'
import { Decoding, readBatches, type Unreadable } from './batch-reader.js'
import { ByteReader } from './byte-reader.js'
import type { FetchedPartition, FetchedRecord, FetchResponse } from './kafkajs-internals.js'

/** What a response says about a partition besides its records. */
export interface FetchExtent {
  readonly unreadable: Unreadable | undefined
  /** The offset behind the last complete batch, even if it holds no records; `undefined` when there was none. */
  readonly nextOffset: number | undefined
  /** Below it no transaction is open. */
  readonly lastStableOffset: number
  readonly abortedTransactions: FetchedPartition['abortedTransactions']
  /**
   * The broker had nothing to send, in any partition, and did not delay anything either: up to the last stable offset
   * there is nothing to read.
   */
  exhausted: boolean
}

const EXTENTS = new WeakMap<readonly FetchedRecord[], FetchExtent>()

/** What the response said about the partition of these records; `undefined` for others. */
export function extentOf(records: readonly FetchedRecord[]): FetchExtent | undefined {
  return EXTENTS.get(records)
}

/**
 * Error codes that mean that the broker can't read a partition's log, or not return it to this client: a new connection
 * would not change that.
 */
const LOG_ERRORS: ReadonlyMap<number, string> = new Map([
  [-1, 'UNKNOWN'],
  [2, 'CORRUPT_MESSAGE'],
  [56, 'KAFKA_STORAGE_ERROR'],
  [76, 'UNSUPPORTED_COMPRESSION_TYPE'],
])

/**
 * Decodes a Fetch response of version 11 (Kafka protocol guide) into kafkajs's structures. A batch that can't be read
 * only ends the records of its partition. Rejects when the response itself is damaged.
 *
 * @param limits - what may be decompressed, per batch; and per response, except for the batch that exceeds it.
 */
export async function decodeFetchResponse(
  raw: Buffer,
  limits: { readonly maxDecompressedBytes: number },
): Promise<FetchResponse> {
  const decoding = new Decoding(limits)
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
      const { partition, size } = await readPartition(reader, decoding)
      partitions.push(partition)
      if (size > 0) isEmpty = false
    }
    responses.push({ topicName, partitions })
  }
  if (isEmpty) markExhausted(responses)
  return { throttleTime: 0, clientSideThrottleTime, errorCode, sessionId, responses }
}

function markExhausted(responses: FetchResponse['responses']): void {
  for (const { messages, errorCode } of responses.flatMap(({ partitions }) => partitions)) {
    const extent = EXTENTS.get(messages)
    if (extent !== undefined && errorCode === 0) extent.exhausted = true
  }
}

async function readPartition(
  reader: ByteReader,
  decoding: Decoding,
): Promise<{ partition: FetchedPartition; size: number }> {
  const partition = reader.int32()
  const code = reader.int16()
  const highWatermark = String(reader.int64())
  const lastStableOffset = reader.int64()
  const lastStartOffset = String(reader.int64())
  const abortedTransactions: { producerId: string; firstOffset: string }[] = []
  for (let count = reader.int32(); count > 0; count -= 1) {
    abortedTransactions.push({ producerId: reader.int64Text(), firstOffset: String(reader.int64()) })
  }
  const preferredReadReplica = reader.int32()
  const size = reader.int32()
  const batches = await readBatches(new ByteReader(reader.bytes(Math.max(0, size))), decoding)
  const { records: messages, nextOffset } = batches
  const refusal = LOG_ERRORS.get(code)
  const unreadable = refusal === undefined ? batches.unreadable : brokerCannotRead(refusal)
  EXTENTS.set(messages, { nextOffset, lastStableOffset, abortedTransactions, unreadable, exhausted: false })
  const read: FetchedPartition = {
    partition,
    errorCode: refusal === undefined ? code : 0,
    highWatermark,
    lastStableOffset: String(lastStableOffset),
    lastStartOffset,
    abortedTransactions,
    preferredReadReplica,
    messages,
  }
  return { partition: read, size }
}

function brokerCannotRead(refusal: string): Unreadable {
  const advice =
    refusal === 'UNSUPPORTED_COMPRESSION_TYPE'
      ? 'a newer client is required to read this compression'
      : "check the log of the partition's leader"
  const error = new StreamError(`the broker can't read the partition at this offset (${refusal}): ${advice}`, {
    code: 'UNAVAILABLE',
    transport: 'kafka',
    operation: 'consume',
  })
  return { range: undefined, error }
}
