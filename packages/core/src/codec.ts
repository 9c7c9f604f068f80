import { isUtf8 } from 'node:buffer'
import { messageOf, StreamError } from './errors.js'

/** Converts values to bytes and back. May throw any error: core wraps it as SERIALIZATION. */
export interface Codec<T = unknown> {
  readonly name: string
  /** Content type sent to other clients, where the transport has a field for it. */
  readonly contentType: string
  /** Never called with `undefined`: that is a tombstone. */
  encode(value: T): Buffer
  decode(bytes: Buffer): T
}

/** A codec of any type, as options hold it. */
export type AnyCodec = Omit<Codec<never>, 'decode'> & { decode(bytes: Buffer): unknown }

/** JSON in UTF-8, the default. Accepts a byte order mark, as RFC 8259, section 8.1, allows; never writes one. */
export const jsonCodec: Codec = {
  name: 'json',
  contentType: 'application/json',
  encode(value) {
    const text: string | undefined = JSON.stringify(value)
    if (text === undefined) throw new TypeError(`a ${typeof value} can't be represented in JSON`)
    return Buffer.from(text)
  },
  decode(bytes) {
    // Decoding them as a string would insert replacement characters.
    if (!isUtf8(bytes)) throw new TypeError('the bytes are not valid UTF-8')
    return JSON.parse(bytes.toString('utf8', startsWithMark(bytes) ? 3 : 0)) as unknown
  },
}

function startsWithMark(bytes: Buffer): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

/** Raw bytes. Sends `Buffer` and `Uint8Array`, returns `Buffer`. */
export const bytesCodec: Codec<Uint8Array> = {
  name: 'bytes',
  contentType: 'application/octet-stream',
  encode(value) {
    if (Buffer.isBuffer(value)) return value
    if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    throw new TypeError('the bytes codec accepts only a Buffer or Uint8Array')
  },
  decode: (bytes) => bytes,
}

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Strings in UTF-8. Bytes that aren't valid UTF-8 can't be decoded. */
export const textCodec: Codec<string> = {
  name: 'text',
  contentType: 'text/plain; charset=utf-8',
  encode(value) {
    if (typeof value !== 'string') throw new TypeError('the text codec accepts only a string')
    if (!value.isWellFormed()) throw new TypeError('the string is not well-formed Unicode (it has a lone surrogate)')
    return Buffer.from(value)
  },
  decode: (bytes) => strictUtf8.decode(bytes),
}

const BUILT_IN = { json: jsonCodec, bytes: bytesCodec, text: textCodec } as const

export type CodecName = keyof typeof BUILT_IN

/** Returns the codec of a name, or the codec itself. */
export function findCodec(codec: CodecName | AnyCodec): Codec {
  // A custom codec knows its own type; the pipeline only passes values through.
  return (typeof codec === 'string' ? BUILT_IN[codec] : codec) as Codec
}

/** Checks the `codec` option; returns the expected form when it is invalid. */
export function checkCodec(raw: unknown): { readonly value: CodecName | AnyCodec } | string {
  if (typeof raw === 'string' && Object.hasOwn(BUILT_IN, raw)) return { value: raw as CodecName }
  const candidate = raw as Partial<AnyCodec> | null
  if (
    typeof candidate === 'object' &&
    typeof candidate?.encode === 'function' &&
    typeof candidate.decode === 'function'
  ) {
    return { value: candidate as AnyCodec }
  }
  return "must be 'json', 'bytes', 'text' or an object with encode() and decode()"
}

/** The error for a value that can't be encoded or decoded. */
export function serializationError(
  action: 'encode' | 'decode',
  codec: string,
  topic: string,
  cause: unknown,
): StreamError {
  const reason = messageOf(cause)
  return new StreamError(`the ${codec} codec can't ${action} a value of topic '${topic}': ${reason}`, {
    code: 'SERIALIZATION',
    operation: action,
    topic,
    cause,
  })
}
