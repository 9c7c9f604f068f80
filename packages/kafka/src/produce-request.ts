import { compress } from './compression.js'
import type { ProduceParameters, RequestDefinition } from './kafkajs-internals.js'
import { encodeBatch, encodeRecords, NativeRecord } from './record-batch.js'

const PRODUCE = { apiKey: 0, apiVersion: 7, apiName: 'Produce' }

/** True when a request carries only records of this adapter. */
export function isOurs({ topicData }: ProduceParameters): boolean {
  return topicData.every(({ partitions }) =>
    partitions.every(({ messages }) => messages.every((message) => message instanceof NativeRecord)),
  )
}

/** A Produce request of version 7 (Kafka protocol guide), to be sent by kafkajs. */
export function produceRequest(parameters: ProduceParameters): RequestDefinition {
  return { ...PRODUCE, expectResponse: () => parameters.acks !== 0, encode: () => encode(parameters) }
}

async function encode({
  acks,
  timeout,
  compression = 0,
  producerId,
  producerEpoch = 0,
  transactionalId,
  topicData,
}: ProduceParameters): Promise<{ buf: Buffer; buffer: Buffer }> {
  const parts: Buffer[] = [nullableText(transactionalId), int16(acks), int32(timeout), int32(topicData.length)]
  for (const { topic, partitions } of topicData) {
    parts.push(nullableText(topic), int32(partitions.length))
    for (const { partition, messages, firstSequence = 0 } of partitions) {
      const records = messages as readonly NativeRecord[]
      const batch = await makeBatch(records, compression, {
        producerId: BigInt(String(producerId ?? -1)),
        producerEpoch,
        firstSequence,
      })
      parts.push(int32(partition), int32(batch.length), batch)
    }
  }
  const buffer = Buffer.concat(parts)
  // The two properties that kafkajs takes from its own encoders.
  return { buf: buffer, buffer }
}

interface Sender {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly firstSequence: number
}

async function makeBatch(records: readonly NativeRecord[], compression: number, sender: Sender): Promise<Buffer> {
  let firstTimestamp = Number.MAX_SAFE_INTEGER
  let maxTimestamp = 0
  for (const { timestamp } of records) {
    firstTimestamp = Math.min(firstTimestamp, timestamp)
    maxTimestamp = Math.max(maxTimestamp, timestamp)
  }
  const plain = encodeRecords(records, firstTimestamp)
  const body = compression === 0 ? plain : await compress(compression, plain)
  return encodeBatch({ ...sender, attributes: compression, count: records.length, firstTimestamp, maxTimestamp }, body)
}

function int16(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.allocUnsafe(4)
  buffer.writeInt32BE(value)
  return buffer
}

function nullableText(text: string | null | undefined): Buffer {
  if (text === null || text === undefined) return int16(-1)
  return Buffer.concat([int16(Buffer.byteLength(text)), Buffer.from(text)])
}
