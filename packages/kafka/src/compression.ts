import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import * as zlib from 'node:zlib'
import { StreamError } from '@streamswitch/core/driver'
import kafkajs from 'kafkajs'
import type { CompressionName } from './options.js'

interface Codec {
  compress(encoder: { readonly buffer: Buffer }): Promise<Buffer>
  decompress(buffer: Buffer): Promise<Buffer>
}

const TYPES = {
  none: kafkajs.CompressionTypes.None,
  gzip: kafkajs.CompressionTypes.GZIP,
  snappy: kafkajs.CompressionTypes.Snappy,
  lz4: kafkajs.CompressionTypes.LZ4,
  zstd: kafkajs.CompressionTypes.ZSTD,
} as const

/** Packages that hold the codecs that kafkajs doesn't ship. */
const PACKAGES = { snappy: 'kafkajs-snappy', lz4: 'kafkajs-lz4', zstd: '@kafkajs/zstd' } as const

type Optional = keyof typeof PACKAGES

/** The number that stands for a compression on the wire. */
export function compressionType(name: CompressionName): kafkajs.CompressionTypes {
  return TYPES[name]
}

/**
 * Makes sure that batches can be compressed this way: a codec that was registered with kafkajs, that Node.js brings along, or
 * that the application has installed. Throws UNSUPPORTED, naming the package, where there is none. No network I/O.
 */
export function requireCompression(name: CompressionName): void {
  if (name === 'none' || name === 'gzip' || isRegistered(name) || register(name)) return
  throw new StreamError(
    `compression '${name}' needs the package ${PACKAGES[name]} in the application (or another codec in kafkajs's CompressionCodecs)`,
    {
      code: 'UNSUPPORTED',
      transport: 'kafka',
      operation: 'configure',
    },
  )
}

/** Registers every codec that is at hand, so that batches of any producer can be read. */
export function registerCodecs(): void {
  for (const name of Object.keys(PACKAGES) as Optional[]) if (!isRegistered(name)) register(name)
}

function isRegistered(name: Optional): boolean {
  try {
    return kafkajs.CompressionCodecs[TYPES[name]]?.() !== undefined
  } catch {
    // kafkajs's placeholder throws "not implemented".
    return false
  }
}

function register(name: Optional): boolean {
  const codec = (name === 'zstd' ? builtInZstd() : undefined) ?? installed(name)
  if (codec === undefined) return false
  kafkajs.CompressionCodecs[TYPES[name]] = () => codec
  return true
}

type Zstd = (buffer: Buffer, done: (error: Error | null, result: Buffer) => void) => void

function builtInZstd(): Codec | undefined {
  const { zstdCompress, zstdDecompress } = zlib as { zstdCompress?: Zstd; zstdDecompress?: Zstd }
  if (zstdCompress === undefined || zstdDecompress === undefined) return undefined
  const run = (work: Zstd, buffer: Buffer): Promise<Buffer> =>
    new Promise((done, failed) => work(buffer, (error, result) => (error === null ? done(result) : failed(error))))
  return {
    compress: (encoder) => run(zstdCompress, encoder.buffer),
    decompress: (buffer) => run(zstdDecompress, buffer),
  }
}

/** The codec of the application's own package. The three packages export it in three shapes. */
function installed(name: Optional): Codec | undefined {
  for (const from of [process.argv[1], resolve('index.js')]) {
    if (from === undefined) continue
    let exported: unknown
    try {
      exported = createRequire(resolve(from))(PACKAGES[name])
    } catch {
      continue
    }
    const codec = codecOf(exported)
    if (codec !== undefined) return codec
  }
  return undefined
}

function codecOf(exported: unknown): Codec | undefined {
  if (typeof exported === 'object' && exported !== null && 'default' in exported) return codecOf(exported.default)
  if (typeof exported !== 'function') return undefined
  const made: unknown = isClass(exported)
    ? new (exported as new () => { codec?: unknown })().codec
    : (exported as () => unknown)()
  const codec: unknown = typeof made === 'function' ? (made as () => unknown)() : made
  return typeof codec === 'object' && codec !== null && 'compress' in codec && 'decompress' in codec
    ? (codec as Codec)
    : undefined
}

function isClass(value: object): boolean {
  const prototype: unknown = (value as { prototype?: unknown }).prototype
  return (
    /^class\b/.test(Function.prototype.toString.call(value)) ||
    (typeof prototype === 'object' && prototype !== null && 'codec' in prototype)
  )
}
