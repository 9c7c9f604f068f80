import { promisify } from 'node:util'
import {
  type BrotliDecompress,
  brotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  type Gunzip,
  gunzip,
  type Inflate,
  type InflateRaw,
  inflate,
  inflateRaw,
} from 'node:zlib'
import { StreamError } from '@streamswitch/core/driver'

/** Content codings that are decoded (RFC 9110, section 8.4.1), as a response to others names them. */
export const ACCEPTED_ENCODINGS = 'gzip, deflate, br'

/** Maximum number of codings on top of each other. */
const MAX_ENCODINGS = 3

export type Encoding = 'gzip' | 'deflate' | 'br'

const NAMES: ReadonlyMap<string, Encoding> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['br', 'br'],
])

/**
 * The codings of a Content-Encoding header, in the order in which they were applied; `identity` is none. `undefined`: there is one among them that
 * can't be decoded, or there are too many.
 */
export function encodingsOf(header: string | undefined): readonly Encoding[] | undefined {
  const encodings: Encoding[] = []
  for (const part of (header ?? '').slice(0, 200).split(',')) {
    const name = part.trim().toLowerCase()
    if (name === '' || name === 'identity') continue
    const known = NAMES.get(name)
    if (known === undefined || encodings.length === MAX_ENCODINGS) return undefined
    encodings.push(known)
  }
  return encodings
}

const unzip = {
  gzip: promisify(gunzip),
  deflate: (body: Buffer, options: { maxOutputLength: number }) =>
    (isZlib(body) ? promisify(inflate) : promisify(inflateRaw))(body, options),
  br: promisify(brotliDecompress),
} as const

/** What the coding of a body may add to bytes that can't be compressed. */
const OVERHEAD_BYTES = 64 * 1024

/**
 * A body without its codings. Decoding ends at `maxBytes`: rejects with TOO_LARGE beyond, and with INVALID_ARGUMENT for what isn't encoded as it
 * says, or breaks off.
 */
export async function decodeBody(body: Buffer, encodings: readonly Encoding[], maxBytes: number): Promise<Buffer> {
  let decoded = body
  for (const [index, encoding] of [...encodings.entries()].reverse()) {
    // Without a body there is nothing to decode, whatever the header says.
    if (decoded.length === 0) return decoded
    try {
      decoded = await unzip[encoding](decoded, { maxOutputLength: index === 0 ? maxBytes : maxBytes + OVERHEAD_BYTES })
    } catch (error) {
      throw decodingError(error, encoding, maxBytes)
    }
  }
  return decoded
}

export type Decoder = Gunzip | Inflate | InflateRaw | BrotliDecompress

/** A stream that takes one coding off. @param first - the first bytes: deflate comes with and without zlib's head. */
export function decoderOf(encoding: Encoding, first: Buffer): Decoder {
  if (encoding === 'gzip') return createGunzip()
  if (encoding === 'br') return createBrotliDecompress()
  return isZlib(first) ? createInflate() : createInflateRaw()
}

/** RFC 1950, section 2.2. Some senders leave this head out, though RFC 9110 demands it. */
function isZlib(bytes: Buffer): boolean {
  const [method = 0, flags = 0] = bytes
  return (method & 0x0f) === 8 && (method * 256 + flags) % 31 === 0
}

function decodingError(error: unknown, encoding: Encoding, maxBytes: number): StreamError {
  const code = (error as { readonly code?: unknown }).code
  return code === 'ERR_BUFFER_TOO_LARGE'
    ? new StreamError(`the decoded body has more than ${maxBytes} bytes`, {
        code: 'TOO_LARGE',
        transport: 'http',
        operation: 'receive',
      })
    : new StreamError(`the body is no whole ${encoding}: ${(error as Error).message}`, {
        code: 'INVALID_ARGUMENT',
        transport: 'http',
        operation: 'receive',
        cause: error,
      })
}
