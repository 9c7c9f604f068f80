import { createRequire } from 'node:module'
import { Compressions, isStreamError, messageOf, type StreamError } from '@streamswitch/core/driver'
import type { Chunk, PackedBatch } from './chunk.js'
import { failure, TRANSPORT } from './errors.js'

const compressions = new Compressions({ transport: TRANSPORT, load: createRequire(import.meta.url) })

/**
 * Unpacks the batch at which a chunk's reading stands. Rejects, and leaves the chunk as it is, with UNSUPPORTED where there is no codec for it, TOO_LARGE where it
 * decompresses to more than `maxBytes`, SERIALIZATION where it is damaged; the error says which offsets.
 */
export async function unpack(chunk: Chunk, topic: string, maxBytes: number): Promise<void> {
  const { packed } = chunk
  if (packed === undefined) return
  try {
    chunk.unpacked(await decompress(packed, topic, maxBytes))
  } catch (cause) {
    throw unreadable(packed, topic, cause)
  }
}

async function decompress(packed: PackedBatch, topic: string, maxBytes: number): Promise<Buffer> {
  const { compression, type, bytes, unpackedBytes } = packed
  if (compression === 'none') return bytes
  if (compression === undefined)
    throw failure('UNSUPPORTED', `compression type ${type} is unknown to this version`, 'consume', topic)
  if (unpackedBytes > maxBytes)
    throw failure('TOO_LARGE', `it decompresses to ${unpackedBytes} bytes (maxDecompressedBytes)`, 'consume', topic)
  return compressions.decompress(compression, bytes, Math.max(1, unpackedBytes))
}

function unreadable(packed: PackedBatch, topic: string, cause: unknown): StreamError {
  const { firstOffset, count, compression, type } = packed
  const how = compression === 'none' ? '' : `, compressed by ${compression ?? `type ${type}`},`
  const detail = isStreamError(cause) ? cause.message : `the batch is damaged (${messageOf(cause)})`
  const code = isStreamError(cause) ? cause.code : 'SERIALIZATION'
  const range = `${firstOffset} to ${firstOffset + count - 1}`
  return failure(
    // More than its producer says is damage, unless it is more than may be.
    code === 'TOO_LARGE' && isStreamError(cause) && cause.operation !== 'consume' ? 'SERIALIZATION' : code,
    `the batch at offsets ${range}${how} can't be read: ${detail}`,
    'consume',
    topic,
    cause,
    false,
  )
}
