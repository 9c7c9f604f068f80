import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { StreamError } from '../errors.js'
import { decodedLz4Bytes } from './lz4-frame.js'
import { snappyBlocks } from './snappy-framing.js'
import { declaredZstdBytes } from './zstd-frame.js'

/** Compression of a batch of messages. */
export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

/**
 * Packages with the codecs that Node.js doesn't have. They are optional dependencies of the adapters that read such
 * batches.
 */
const PACKAGES = { snappy: 'snappy-wasm', lz4: 'lz4-napi', zstd: '@bokuweb/zstd-wasm' } as const

/** First guess for the size of a Zstandard frame that doesn't declare it; multiplied by four until it suffices. */
const ZSTD_GUESS_BYTES = 1024 * 1024
const ZSTD_LEVEL = 3

interface Codec {
  compress(bytes: Buffer): Promise<Uint8Array>
  /**
   * Decompresses up to `maxBytes`; rejects with {@link BeyondLimit} beyond. Rejects with any other error when the bytes
   * are damaged.
   */
  decompress(bytes: Buffer, maxBytes: number): Promise<Buffer>
}

interface CompressionSettings {
  /** The transport, for errors. */
  readonly transport: string
  /**
   * Loads a package on the adapter's behalf: its `createRequire(import.meta.url)`. Throws when the package is not
   * installed.
   */
  readonly load: (packageName: string) => unknown
}

/** The compressions of an adapter. A codec is loaded on first use; a missing one is looked up again on each use. */
export class Compressions {
  readonly #settings: CompressionSettings
  readonly #codecs = new Map<CompressionName, Codec>()

  constructor(settings: CompressionSettings) {
    this.#settings = settings
  }

  /** Ensures that a codec is installed. Throws UNSUPPORTED, naming the package, when it isn't. No network I/O. */
  require(name: CompressionName): void {
    if (name !== 'none') this.#codecOf(name)
  }

  /** Rejects with UNSUPPORTED when the codec is not installed. */
  async compress(name: CompressionName, bytes: Buffer): Promise<Uint8Array> {
    return this.#codecOf(name).compress(bytes)
  }

  /**
   * Rejects with UNSUPPORTED when the codec is not installed, TOO_LARGE beyond `maxBytes`, and SERIALIZATION when the
   * bytes are damaged.
   */
  async decompress(name: CompressionName, bytes: Buffer, maxBytes: number): Promise<Buffer> {
    const codec = this.#codecOf(name)
    try {
      return await codec.decompress(bytes, maxBytes)
    } catch (cause) {
      if (cause instanceof BeyondLimit)
        throw this.#failure(
          'TOO_LARGE',
          `${name} data decompresses to more than ${maxBytes} bytes (maxDecompressedBytes)`,
        )
      const detail = cause instanceof Error ? cause.message : String(cause)
      throw this.#failure('SERIALIZATION', `damaged ${name} data: ${detail}`, cause)
    }
  }

  #codecOf(name: CompressionName): Codec {
    const known = this.#codecs.get(name)
    if (known !== undefined) return known
    const made = this.#makeCodec(name)
    this.#codecs.set(name, made)
    return made
  }

  #makeCodec(name: CompressionName): Codec {
    switch (name) {
      case 'none':
        return { compress: async (bytes) => bytes, decompress: async (bytes) => bytes }
      case 'gzip':
        return gzip
      case 'snappy':
        return snappy(this.#load<SnappyPackage>(name))
      case 'lz4':
        return lz4(this.#load<Lz4Package>(name))
      case 'zstd':
        return builtInZstd() ?? zstd(this.#load<ZstdPackage>(name))
    }
  }

  #load<Package>(name: keyof typeof PACKAGES): Package {
    const wanted = PACKAGES[name]
    try {
      return this.#settings.load(wanted) as Package
    } catch (cause) {
      throw this.#failure(
        'UNSUPPORTED',
        `compression '${name}' needs the package ${wanted}, which is not installed: npm install ${wanted}`,
        cause,
      )
    }
  }

  #failure(code: 'UNSUPPORTED' | 'TOO_LARGE' | 'SERIALIZATION', message: string, cause?: unknown): StreamError {
    return new StreamError(message, { code, retryable: false, transport: this.#settings.transport, cause })
  }
}

/** The data decompresses to more than the limit. */
class BeyondLimit extends Error {}

const gunzip = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gunzip)

const gzip: Codec = {
  compress: promisify<zlib.InputType, Buffer>(zlib.gzip),
  decompress: (bytes, maxBytes) => bounded(() => gunzip(bytes, { maxOutputLength: maxBytes })),
}

/** Runs a decompression of Node.js's zlib. */
async function bounded(run: () => Promise<Buffer>): Promise<Buffer> {
  try {
    return await run()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw new BeyondLimit()
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
      if (total > maxBytes) throw new BeyondLimit()
      return Buffer.concat(blocks.map(({ block, isStored }) => (isStored ? block : decompress_raw(block))))
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
      if (decodedLz4Bytes(bytes, maxBytes) > maxBytes) throw new BeyondLimit()
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

/** The codec of Node.js, from 22.15. */
function builtInZstd(): Codec | undefined {
  const { zstdCompress, zstdDecompress } = zlib as ZstdOfNode
  if (zstdCompress === undefined || zstdDecompress === undefined) return undefined
  const decompressing = promisify(zstdDecompress)
  return {
    compress: promisify(zstdCompress),
    decompress: (bytes, maxBytes) => bounded(() => decompressing(bytes, { maxOutputLength: maxBytes })),
  }
}

interface ZstdPackage {
  init(): Promise<void>
  compress(bytes: Uint8Array, level: number): Uint8Array
  decompress(bytes: Uint8Array, options: { readonly defaultHeapSize: number }): Uint8Array
}

/**
 * A second `init()` replaces the memory under the calls that follow, before it is initialised: they fail with 'offset
 * is out of bounds'. Several adapters of a process share the package.
 */
const zstdReady = new WeakMap<ZstdPackage, Promise<void>>()

function zstd(packageOfZstd: ZstdPackage): Codec {
  const loaded = (): Promise<void> => {
    const ready = zstdReady.get(packageOfZstd) ?? packageOfZstd.init()
    zstdReady.set(packageOfZstd, ready)
    return ready
  }
  return {
    compress: async (bytes) => {
      await loaded()
      return packageOfZstd.compress(bytes, ZSTD_LEVEL)
    },
    decompress: async (bytes, maxBytes) => {
      await loaded()
      if ((declaredZstdBytes(bytes) ?? 0) > maxBytes) throw new BeyondLimit()
      for (let guess = Math.min(ZSTD_GUESS_BYTES, maxBytes); ; guess = Math.min(4 * guess, maxBytes)) {
        try {
          const decoded = packageOfZstd.decompress(bytes, { defaultHeapSize: guess })
          return Buffer.from(decoded.buffer, decoded.byteOffset, decoded.byteLength)
        } catch (error) {
          // Its message contains the library's code; this one means that the buffer was too small.
          if (!String(error).includes('-70')) throw error
          if (guess === maxBytes) throw new BeyondLimit()
        }
      }
    },
  }
}
