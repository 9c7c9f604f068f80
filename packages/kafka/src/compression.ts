import { createRequire } from 'node:module'
import { type CompressionName, Compressions, StreamError } from '@streamswitch/core/driver'

/** Codes of compressions on the wire (Kafka protocol guide, "Record Batch", attributes). */
const NAMES: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

const compressions = new Compressions({ transport: 'kafka', load: createRequire(import.meta.url) })

/** Returns the code of a compression on the wire. */
export function compressionType(name: CompressionName): number {
  return NAMES.indexOf(name)
}

/** Returns the compression of a code on the wire; `undefined` for an unknown one. */
export function compressionName(type: number): CompressionName | undefined {
  return NAMES[type]
}

/**
 * Ensures that batches can be compressed this way. Throws UNSUPPORTED, naming the package, when its codec is not
 * installed. No network I/O.
 */
export function requireCompression(name: CompressionName): void {
  compressions.require(name)
}

/** Compresses the records of a batch. Rejects with UNSUPPORTED when the codec is not installed. */
export async function compress(type: number, bytes: Buffer): Promise<Uint8Array> {
  return compressions.compress(nameOf(type), bytes)
}

/**
 * Decompresses the records of a batch. Rejects with UNSUPPORTED when there is no codec, TOO_LARGE beyond `maxBytes`,
 * and SERIALIZATION when the bytes are damaged.
 */
export async function decompress(type: number, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  return compressions.decompress(nameOf(type), bytes, maxBytes)
}

function nameOf(type: number): CompressionName {
  const name = compressionName(type)
  if (name !== undefined) return name
  throw new StreamError(`compression type ${type} is unknown to this version`, {
    code: 'UNSUPPORTED',
    retryable: false,
    transport: 'kafka',
  })
}
