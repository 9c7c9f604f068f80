import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { crc32c } from '../../src/crc32c.js'
import { brokerAddress } from './broker.js'

/** A record as the protocol has it: any bytes, nothing that a client library refuses to write. */
export interface RawRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** In their order; names may repeat. */
  readonly headers: readonly (readonly [name: Buffer, value: Buffer | null])[]
  readonly timestamp: number
}

/** How a batch is compressed. */
export interface RawCompression {
  /** Its number in the protocol. */
  readonly type: number
  readonly compress: (records: Buffer) => Buffer
}

/** A Produce request of version 3 by hand (Kafka protocol guide, "Record Batch"), on a connection of its own, to the one node of the test broker. */
export async function produceRaw(
  topic: string,
  partition: number,
  records: readonly RawRecord[],
  compression: RawCompression = { type: 0, compress: (bytes) => bytes },
): Promise<void> {
  const [host, port] = brokerAddress.split(':')
  const socket = connect(Number(port), host)
  await once(socket, 'connect')
  try {
    const batch = batchOf(records, compression)
    const body = [text(null), int16(-1), int32(30_000), int32(1), text(topic), int32(1), int32(partition)]
    const request = Buffer.concat([int16(0), int16(3), int32(1), text('raw'), ...body, int32(batch.length), batch])
    socket.write(Buffer.concat([int32(request.length), request]))
    const response = await answerOf(socket)
    // Correlation, topics, name, partitions, partition, then the error.
    const errorCode = response.readInt16BE(4 + 4 + 2 + Buffer.byteLength(topic) + 4 + 4)
    if (errorCode !== 0) throw new Error(`the broker refused a batch for ${topic}: error ${errorCode}`)
  } finally {
    socket.destroy()
  }
}

async function answerOf(socket: Socket): Promise<Buffer> {
  let received = Buffer.alloc(0)
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    received = Buffer.concat([received, chunk])
    if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) return received.subarray(4)
  }
  throw new Error('the broker closed the connection without an answer')
}

function batchOf(records: readonly RawRecord[], { type, compress }: RawCompression): Buffer {
  const first = records[0]?.timestamp ?? 0
  const bodies = records.map((record, index) => {
    const body = Buffer.concat([
      Buffer.from([0]),
      varint(record.timestamp - first),
      varint(index),
      sized(record.key),
      sized(record.value),
      varint(record.headers.length),
      ...record.headers.flatMap(([name, value]) => [sized(name), sized(value)]),
    ])
    return Buffer.concat([varint(body.length), body])
  })
  const latest = records.reduce((most, { timestamp }) => Math.max(most, timestamp), first)
  const checked = Buffer.concat([
    int16(type),
    int32(records.length - 1),
    int64(first),
    int64(latest),
    int64(-1),
    int16(-1),
    int32(-1),
    int32(records.length),
    compress(Buffer.concat(bodies)),
  ])
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32c(checked, 0))
  const rest = Buffer.concat([int32(0), Buffer.from([2]), checksum, checked])
  return Buffer.concat([int64(0), int32(rest.length), rest])
}

function sized(bytes: Buffer | null): Buffer {
  return bytes === null ? varint(-1) : Buffer.concat([varint(bytes.length), bytes])
}

/** Zigzag, in groups of seven bits. */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value < 0 ? -value * 2 - 1 : value * 2
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80)
  return Buffer.from([...bytes, rest])
}

function int16(value: number): Buffer {
  const buffer = Buffer.alloc(2)
  buffer.writeInt16BE(value)
  return buffer
}

function int32(value: number): Buffer {
  const buffer = Buffer.alloc(4)
  buffer.writeInt32BE(value)
  return buffer
}

function int64(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64BE(BigInt(value))
  return buffer
}

function text(value: string | null): Buffer {
  return value === null ? int16(-1) : Buffer.concat([int16(Buffer.byteLength(value)), Buffer.from(value)])
}
