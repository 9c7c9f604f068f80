import { createRequire } from 'node:module'
import { type CompressionName, Compressions, StreamError } from '@streamswitch/core/driver'

/** Numbers that stand for compressions on the wire (Kafka protocol guide, "Record Batch", attributes). */
const NAMES: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const compressions = new Compressions({ transport: 'kafka', load: createRequire(import.meta.url) })

/** The number that stands for a compression on the wire. */
export function compressionType(name: CompressionName): number {
  return NAMES.indexOf(name)
}

/** The compression that a number on the wire stands for; `undefined` for one that is not known. */
export function compressionName(type: number): CompressionName | undefined {
  return NAMES[type]
}

/** Makes sure that batches can be compressed this way. Throws UNSUPPORTED, naming the package, where its codec is not installed. No network I/O. */
export function requireCompression(name: CompressionName): void {
  compressions.require(name)
}

/** Compresses what stands behind the head of a batch. Rejects with UNSUPPORTED where the codec is not installed. */
export async function compress(type: number, bytes: Buffer): Promise<Uint8Array> {
  return compressions.compress(nameOf(type), bytes)
}

/**
 * Decompresses what stands behind the head of a batch. Rejects with UNSUPPORTED where there is no codec, TOO_LARGE beyond `maxBytes`, and
 * SERIALIZATION where the bytes are damaged.
 */
export async function decompress(type: number, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  return compressions.decompress(nameOf(type), bytes, maxBytes)
}

function nameOf(type: number): CompressionName {
  const name = compressionName(type)
  if (name !== undefined) return name
  throw new StreamError(`compression type ${type} is not known to this version`, {
    code: 'UNSUPPORTED',
    retryable: false,
    transport: 'kafka',
  })
}
