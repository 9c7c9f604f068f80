import { openClient } from '../../src/connection.js'
import { sourceOf } from './bench.js'
import { BROKER_URL } from './broker.js'

/** An entry of a Publish frame: a message, or a batch of sub-entries. */
export interface RawEntry {
  /** 0: a message. */
  readonly subEntries: number
  /** As in the frame: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  readonly compression: number
  readonly uncompressedBytes: number
  readonly bytes: Buffer
}

/** Messages as they are, whatever they are, to a stream; resolves once the broker has confirmed all. */
export function publishRaw(stream: string, messages: readonly Buffer[]): Promise<void> {
  return publishEntries(
    stream,
    messages.map((bytes) => ({ subEntries: 0, compression: 0, uncompressedBytes: 0, bytes })),
  )
}

/** Entries that a foreign producer makes, each in a frame of its own. */
export async function publishEntries(stream: string, entries: readonly RawEntry[]): Promise<void> {
  let confirmed = (): void => {}
  let count = 0
  const done = new Promise<void>((resolve) => {
    confirmed = resolve
  })
  const client = await openClient(sourceOf(BROKER_URL), {
    closed() {},
    refused() {},
    streamChanged() {},
    confirmed(_connection, _publisher, ids) {
      count += ids.length
      if (count === entries.length) confirmed()
    },
  })
  try {
    const { connection, publisherId } = await client.publisher(stream, undefined)
    for (const [index, entry] of entries.entries()) connection.write(frame(publisherId, BigInt(index + 1), entry))
    await done
  } finally {
    await client.close()
  }
}

function frame(publisherId: number, id: bigint, entry: RawEntry): Buffer {
  const { subEntries, compression, uncompressedBytes, bytes } = entry
  const head = Buffer.alloc(subEntries === 0 ? 25 : 32)
  head.writeUInt16BE(0x0002, 4)
  head.writeUInt16BE(1, 6)
  head.writeUInt8(publisherId, 8)
  head.writeUInt32BE(1, 9)
  head.writeBigUInt64BE(id, 13)
  if (subEntries > 0) {
    head.writeUInt8(0x80 | (compression << 4), 21)
    head.writeUInt16BE(subEntries, 22)
    head.writeUInt32BE(uncompressedBytes, 24)
  }
  head.writeUInt32BE(bytes.length, head.length - 4)
  head.writeUInt32BE(head.length + bytes.length - 4, 0)
  return Buffer.concat([head, bytes])
}
