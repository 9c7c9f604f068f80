import { isUtf8 } from 'node:buffer'
import { arrivedId, type Headers, WIRE_HEADERS } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import { ByteReader } from './byte-reader.js'
import { ReceivedRecord } from './received-record.js'

/**
 * A record's headers as strings. Those whose name or value isn't UTF-8 are only in `native`; of a repeated header the
 * last one is used.
 */
export interface RecordTexts {
  id: string | undefined
  replyTo: string | undefined
  timestamp: string | undefined
  headers: Headers
  /** Size of all headers, names and values; 0 for a record that kafkajs decoded. */
  bytes: number
}

type Place = 'id' | 'replyTo' | 'timestamp'

/** Headers that have their own field in a delivery. Kafka itself holds key and tombstone. */
const PLACES: ReadonlyMap<string, Place> = new Map([
  [WIRE_HEADERS.id, 'id'],
  [WIRE_HEADERS.replyTo, 'replyTo'],
  [WIRE_HEADERS.timestamp, 'timestamp'],
])

/** Their names as bytes, by length, in which they differ. */
const PLACES_BY_LENGTH = new Map(
  [...PLACES].map(([name, place]) => [name.length, { name: Buffer.from(name), place }] as const),
)

const NO_HEADERS: Headers = Object.freeze({})

/** Maximum length of a string that is read byte by byte: a call into the engine costs more. */
const SHORT = 64

export function textsOf(message: KafkaMessage): RecordTexts {
  return message instanceof ReceivedRecord
    ? textsOfBytes(message.source, message.headersAt)
    : textsOfFields(message.headers ?? {})
}

function textsOfBytes(source: Buffer, headersAt: number): RecordTexts {
  const texts: RecordTexts = { id: undefined, replyTo: undefined, timestamp: undefined, headers: NO_HEADERS, bytes: 0 }
  const reader = new ByteReader(source, headersAt)
  for (let count = reader.varint(); count > 0; count -= 1) {
    const nameLength = reader.varint()
    const nameAt = reader.at
    reader.at += nameLength
    const length = reader.varint()
    const valueAt = reader.at
    const value = textAt(source, valueAt, length)
    if (length > 0) reader.at += length
    const place = placeAt(source, nameAt, nameLength)
    if (place === 'id' && value === undefined && length > 0)
      texts.id = arrivedId(source.subarray(valueAt, valueAt + length))
    else if (place !== undefined) texts[place] = value
    else {
      const name = textAt(source, nameAt, nameLength)
      if (name !== undefined) setHeader(texts, name, value)
    }
  }
  texts.bytes = reader.at - headersAt
  return texts
}

function textsOfFields(native: NonNullable<KafkaMessage['headers']>): RecordTexts {
  const texts: RecordTexts = { id: undefined, replyTo: undefined, timestamp: undefined, headers: NO_HEADERS, bytes: 0 }
  for (const name in native) {
    const value = headerText(native[name])
    const place = PLACES.get(name)
    if (place === 'id' && value === undefined) texts.id = idOf(native[name])
    else if (place !== undefined) texts[place] = value
    else setHeader(texts, name, value)
  }
  return texts
}

function setHeader(texts: RecordTexts, name: string, value: string | undefined): void {
  if (value === undefined) {
    // An earlier one of this name is overridden.
    if (Object.hasOwn(texts.headers, name)) delete (texts.headers as Record<string, string>)[name]
    return
  }
  if (texts.headers === NO_HEADERS) texts.headers = {}
  // A foreign header may be named `__proto__`.
  if (name === '__proto__')
    Object.defineProperty(texts.headers, name, { value, enumerable: true, configurable: true, writable: true })
  else (texts.headers as Record<string, string>)[name] = value
}

/** The field of a name. The names begin alike, so they are compared from their ends. */
function placeAt(source: Buffer, at: number, length: number): Place | undefined {
  const known = PLACES_BY_LENGTH.get(length)
  if (known === undefined) return undefined
  for (let index = length - 1; index >= 0; index -= 1) if (source[at + index] !== known.name[index]) return undefined
  return known.place
}

/** undefined` for bytes that aren't text, or not there (`length` below 0). */
function textAt(source: Buffer, at: number, length: number): string | undefined {
  if (length < 0) return undefined
  const end = at + length
  if (length <= SHORT) {
    let ascii = at
    while (ascii < end && (source[ascii] as number) < 0x80) ascii += 1
    if (ascii === end) return source.toString('latin1', at, end)
  }
  return isUtf8(source.subarray(at, end)) ? source.toString('utf8', at, end) : undefined
}

type HeaderValue = NonNullable<KafkaMessage['headers']>[string]

/** The id for bytes that aren't text. */
function idOf(value: HeaderValue): string | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value
  return Buffer.isBuffer(last) ? arrivedId(last) : undefined
}

function headerText(value: HeaderValue): string | undefined {
  const last = Array.isArray(value) ? value.at(-1) : value
  if (last === undefined || last === null) return undefined
  if (typeof last === 'string') return last
  return isUtf8(last) ? last.toString('utf8') : undefined
}
