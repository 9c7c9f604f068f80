import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { StreamError } from '@streamswitch/core/driver'
import { decodedLz4Bytes } from './lz4-frame.js'
import type { CompressionName } from './options.js'
import { snappyBlocks } from './snappy-framing.js'
import { declaredZstdBytes } from './zstd-frame.js'

/** Numbers that stand for compressions on the wire (Kafka protocol guide, "Record Batch", attributes). */
const NAMES: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

/** Packages with the codecs that Node.js doesn't have. They are optional dependencies of this one. */
const PACKAGES = { snappy: 'snappy-wasm', lz4: 'lz4-napi', zstd: '@bokuweb/zstd-wasm' } as const

/** The first guess of a Zstandard frame's size where it doesn't say; four times as much is tried until it suffices. */
const ZSTD_GUESS_BYTES = 1024 * 1024
const ZSTD_LEVEL = 3

interface Codec {
  compress(bytes: Buffer): Promise<Uint8Array>
  /** `maxBytes`: what it may decompress to; rejects with {@link tooLarge} beyond. Rejects with anything else where the bytes are damaged. */
  decompress(bytes: Buffer, maxBytes: number): Promise<Buffer>
}

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
  if (name !== 'none') codecOf(name)
}

/** Compresses what stands behind the head of a batch. Rejects with UNSUPPORTED where the codec is not installed. */
export async function compress(type: number, bytes: Buffer): Promise<Uint8Array> {
  return codecOf(nameOf(type)).compress(bytes)
}

/**
 * Decompresses what stands behind the head of a batch. Rejects with UNSUPPORTED where there is no codec, TOO_LARGE beyond `maxBytes`, and
 * SERIALIZATION where the bytes are damaged.
 */
export async function decompress(type: number, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  const name = nameOf(type)
  const codec = codecOf(name)
  try {
    return await codec.decompress(bytes, maxBytes)
  } catch (cause) {
    if (cause instanceof StreamError) throw cause
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw failure('SERIALIZATION', `damaged ${name} data: ${detail}`, cause)
  }
}

function nameOf(type: number): CompressionName {
  const name = compressionName(type)
  if (name === undefined) throw failure('UNSUPPORTED', `compression type ${type} is not known to this version`)
  return name
}

const codecs = new Map<CompressionName, Codec>()

function codecOf(name: CompressionName): Codec {
  const known = codecs.get(name)
  if (known !== undefined) return known
  const made = makeCodec(name)
  codecs.set(name, made)
  return made
}

function makeCodec(name: CompressionName): Codec {
  switch (name) {
    case 'none':
      return { compress: async (bytes) => bytes, decompress: async (bytes) => bytes }
    case 'gzip':
      return gzip
    case 'snappy':
      return snappy(load<SnappyPackage>(name))
    case 'lz4':
      return lz4(load<Lz4Package>(name))
    case 'zstd':
      return builtInZstd() ?? zstd(load<ZstdPackage>(name))
  }
}

function load<Package>(name: keyof typeof PACKAGES): Package {
  const wanted = PACKAGES[name]
  try {
    // Asked for again each time: it may have been installed in the meantime.
    return createRequire(import.meta.url)(wanted) as Package
  } catch (cause) {
    throw failure(
      'UNSUPPORTED',
      `compression '${name}' needs the package ${wanted}, which is not installed: npm install ${wanted}`,
      cause,
    )
  }
}

const gunzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gunzip)

const gzip: Codec = {
  compress: promisify<zlib.InputType, Buffer>(zlib.gzip),
  decompress: (bytes, maxBytes) => bounded('gzip', maxBytes, () => gunzip(bytes, { maxOutputLength: maxBytes })),
}

/** Runs a decompression of Node.js's own. */
async function bounded(name: CompressionName, maxBytes: number, run: () => Promise<Buffer>): Promise<Buffer> {
  try {
    return await run()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(name, maxBytes)
    throw error
  }
}

interface SnappyPackage {
  compress_raw(bytes: Uint8Array): Uint8Array
  decompress_raw(bytes: Uint8Array): Uint8Array
}

function snappy({ compress_raw, decompress_raw }: SnappyPackage): Codec {
  return {
    compress: async (bytes) => compress_raw(bytes),
    decompress: async (bytes, maxBytes) => {
      const blocks = snappyBlocks(bytes)
      const total = blocks.reduce((sum, { decodedBytes }) => sum + decodedBytes, 0)
      if (total > maxBytes) throw tooLarge('snappy', maxBytes)
      return Buffer.concat(blocks.map(({ block }) => decompress_raw(block)))
    },
  }
}

interface Lz4Package {
  compressFrame(bytes: Buffer): Promise<Buffer>
  decompressFrame(bytes: Buffer): Promise<Buffer>
}

function lz4({ compressFrame, decompressFrame }: Lz4Package): Codec {
  return {
    compress: (bytes) => compressFrame(bytes),
    decompress: async (bytes, maxBytes) => {
      if (decodedLz4Bytes(bytes, maxBytes) > maxBytes) throw tooLarge('lz4', maxBytes)
      return decompressFrame(bytes)
    },
  }
}

interface ZstdOptions {
  readonly maxOutputLength: number
}

interface ZstdOfNode {
  zstdCompress?: (bytes: Buffer, done: (error: Error | null, result: Buffer) => void) => void
  zstdDecompress?: (bytes: Buffer, options: ZstdOptions, done: (error: Error | null, result: Buffer) => void) => void
}

/** Node.js has it from 22.15 on. */
function builtInZstd(): Codec | undefined {
  const { zstdCompress, zstdDecompress } = zlib as ZstdOfNode
  if (zstdCompress === undefined || zstdDecompress === undefined) return undefined
  const decompressing = promisify(zstdDecompress)
  return {
    compress: promisify(zstdCompress),
    decompress: (bytes, maxBytes) =>
      bounded('zstd', maxBytes, () => decompressing(bytes, { maxOutputLength: maxBytes })),
  }
}

interface ZstdPackage {
  init(): Promise<void>
  compress(bytes: Uint8Array, level: number): Uint8Array
  decompress(bytes: Uint8Array, options: { readonly defaultHeapSize: number }): Uint8Array
}

function zstd(packageOfZstd: ZstdPackage): Codec {
  let ready: Promise<void> | undefined
  const loaded = (): Promise<void> => {
    ready ??= packageOfZstd.init()
    return ready
  }
  return {
    compress: async (bytes) => {
      await loaded()
      return packageOfZstd.compress(bytes, ZSTD_LEVEL)
    },
    decompress: async (bytes, maxBytes) => {
      await loaded()
      if ((declaredZstdBytes(bytes) ?? 0) > maxBytes) throw tooLarge('zstd', maxBytes)
      for (let guess = Math.min(ZSTD_GUESS_BYTES, maxBytes); ; guess = Math.min(4 * guess, maxBytes)) {
        try {
          const decoded = packageOfZstd.decompress(bytes, { defaultHeapSize: guess })
          return Buffer.from(decoded.buffer, decoded.byteOffset, decoded.byteLength)
        } catch (error) {
          // Its message holds the library's code; this one means that the space was too small.
          if (!String(error).includes('-70')) throw error
          if (guess === maxBytes) throw tooLarge('zstd', maxBytes)
        }
      }
    },
  }
}

function tooLarge(name: CompressionName, maxBytes: number): StreamError {
  return failure('TOO_LARGE', `${name} data decompresses to more than ${maxBytes} bytes (maxDecompressedBytes)`)
}

function failure(code: 'UNSUPPORTED' | 'TOO_LARGE' | 'SERIALIZATION', message: string, cause?: unknown): StreamError {
  return new StreamError(message, { code, retryable: false, transport: 'kafka', cause })
}
