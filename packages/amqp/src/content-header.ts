/**
 * Properties of a message as bytes (AMQP 0-9-1, sections 2.3.5.2 and 4.2.5.5): read without losing what amqplib's
 * values can't represent (widths of numbers, 64-bit integers, strings that aren't UTF-8, repeated names), and written
 * again.
 */

/** The properties of the class `basic` in their order on the wire; the first one's flag is bit 15. */
const PROPERTIES = [
  ['content-type', 'text'],
  ['content-encoding', 'text'],
  ['headers', 'table'],
  ['delivery-mode', 'octet'],
  ['priority', 'octet'],
  ['correlation-id', 'text'],
  ['reply-to', 'text'],
  ['expiration', 'text'],
  ['message-id', 'text'],
  ['timestamp', 'long'],
  ['type', 'text'],
  ['user-id', 'text'],
  ['app-id', 'text'],
  ['cluster-id', 'text'],
] as const

export type PropertyName = Exclude<(typeof PROPERTIES)[number][0], 'headers'>

const FIRST_FLAG = 15
const FLAG_BYTES = 2

/** Bytes of a field value behind its tag; `undefined`: four bytes of length, then so many. `L` is in the specification alone: RabbitMQ refuses it. */
const VALUE_BYTES: Readonly<Record<string, number | undefined>> = {
  V: 0,
  t: 1,
  b: 1,
  B: 1,
  s: 2,
  u: 2,
  I: 4,
  i: 4,
  f: 4,
  D: 5,
  l: 8,
  d: 8,
  T: 8,
  S: undefined,
  x: undefined,
  F: undefined,
  A: undefined,
}

/** A header: its name, and its value with the tag that says its type. */
export interface HeaderEntry {
  readonly name: Buffer
  readonly value: Buffer
}

/** The properties of one message. Values keep their bytes until they are set. */
export class ContentHeader {
  /** By name, as on the wire: a text with its length before it. */
  readonly #properties: Map<PropertyName, Buffer>
  /** In their order; names may repeat. `undefined`: there is no table. */
  headers: readonly HeaderEntry[] | undefined

  constructor(properties: Map<PropertyName, Buffer> = new Map(), headers?: readonly HeaderEntry[]) {
    this.#properties = properties
    this.headers = headers
  }

  /** Reads the flags and values of a content header frame. Throws a RangeError where they are damaged. */
  static read(bytes: Buffer): ContentHeader {
    const flags = bytes.readUInt16BE(0)
    const properties = new Map<PropertyName, Buffer>()
    let headers: HeaderEntry[] | undefined
    let at = FLAG_BYTES
    for (const [index, [name, kind]] of PROPERTIES.entries()) {
      if ((flags & (1 << (FIRST_FLAG - index))) === 0) continue
      const end = at + sizeOf(bytes, at, kind)
      if (end > bytes.length) throw new RangeError(`property ${name} exceeds the end of its frame`)
      const value = bytes.subarray(at, end)
      if (name === 'headers') headers = readTable(value.subarray(4))
      else properties.set(name, value)
      at = end
    }
    return new ContentHeader(properties, headers)
  }

  has(name: PropertyName): boolean {
    return this.#properties.has(name)
  }

  /** A property that is a text; `undefined` where there is none. What is no UTF-8 has replacement characters. */
  text(name: PropertyName): string | undefined {
    return this.#properties.get(name)?.toString('utf8', 1)
  }

  /** The bytes of a property that is a text. */
  bytes(name: PropertyName): Buffer | undefined {
    return this.#properties.get(name)?.subarray(1)
  }

  /** A property of one byte. */
  octet(name: 'delivery-mode' | 'priority'): number | undefined {
    return this.#properties.get(name)?.readUInt8(0)
  }

  delete(name: PropertyName): void {
    this.#properties.delete(name)
  }

  /** @param text - at most 255 bytes. */
  setText(name: PropertyName, text: string): void {
    this.#properties.set(name, shortText(text))
  }

  setOctet(name: 'delivery-mode' | 'priority', value: number): void {
    this.#properties.set(name, Buffer.of(value))
  }

  setTimestamp(seconds: number): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(seconds))
    this.#properties.set('timestamp', bytes)
  }

  /** Encodes the content header frame behind the size of the body. */
  encode(): Buffer {
    const table = this.headers === undefined ? undefined : encodeTable(this.headers)
    let flags = 0
    const parts: Buffer[] = [Buffer.alloc(FLAG_BYTES)]
    for (const [index, [name]] of PROPERTIES.entries()) {
      const value = name === 'headers' ? table : this.#properties.get(name)
      if (value === undefined) continue
      flags |= 1 << (FIRST_FLAG - index)
      parts.push(value)
    }
    const bytes = Buffer.concat(parts)
    bytes.writeUInt16BE(flags, 0)
    return bytes
  }
}

/** A header that is a text, or bytes in a text's place. */
export function textHeader(name: string, text: string | Buffer): HeaderEntry {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  const value = Buffer.allocUnsafe(5 + bytes.length)
  value.write('S', 0, 'latin1')
  value.writeUInt32BE(bytes.length, 1)
  bytes.copy(value, 5)
  return { name: Buffer.from(name), value }
}

/** The type of a header's value, by its tag (https://www.rabbitmq.com/amqp-0-9-1-errata#section_3). */
export function tagOf({ value }: Pick<HeaderEntry, 'value'>): string {
  return String.fromCharCode(value.readUInt8(0))
}

/** The bytes of a value behind its tag, and behind its length where it has one. */
export function contentOf(entry: Pick<HeaderEntry, 'value'>): Buffer {
  return entry.value.subarray(VALUE_BYTES[tagOf(entry)] === undefined ? 5 : 1)
}

/** How deep lists and tables may be nested to be shown. */
const MAX_DEPTH = 20

/** A value as JSON has it: bytes as base64, times as seconds, integers beyond 2^53 as texts, decimals as `digits` and `places`. */
export function plainValue(value: Buffer, depth = 0): unknown {
  const content = contentOf({ value })
  switch (tagOf({ value })) {
    case 'S':
      return content.toString()
    case 'x':
      return content.toString('base64')
    case 'V':
      return null
    case 't':
      return content.readUInt8() !== 0
    case 'b':
    case 's':
    case 'I':
      return content.readIntBE(0, content.length)
    case 'B':
    case 'u':
    case 'i':
      return content.readUIntBE(0, content.length)
    case 'f':
      return content.readFloatBE()
    case 'd':
      return content.readDoubleBE()
    case 'l':
      return plainInteger(content.readBigInt64BE())
    case 'T':
      return plainInteger(content.readBigUInt64BE())
    case 'D':
      return { digits: content.readInt32BE(1), places: content.readUInt8() }
    default:
      if (depth >= MAX_DEPTH) return `${content.length} bytes`
      return tagOf({ value }) === 'A' ? plainList(content, depth + 1) : plainTable(content, depth + 1)
  }
}

function plainInteger(value: bigint): number | string {
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value)
}

function plainList(bytes: Buffer, depth: number): unknown[] {
  const values: unknown[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + valueSize(bytes, at)
    values.push(plainValue(bytes.subarray(at, end), depth))
    at = end
  }
  return values
}

function plainTable(bytes: Buffer, depth: number): unknown {
  return Object.fromEntries(readTable(bytes).map(({ name, value }) => [name.toString(), plainValue(value, depth)]))
}

function readTable(bytes: Buffer): HeaderEntry[] {
  const entries: HeaderEntry[] = []
  for (let at = 0; at < bytes.length; ) {
    const valueAt = at + 1 + bytes.readUInt8(at)
    const end = valueAt + 1 + valueSize(bytes, valueAt)
    if (end > bytes.length) throw new RangeError('a header exceeds the end of its table')
    entries.push({ name: bytes.subarray(at + 1, valueAt), value: bytes.subarray(valueAt, end) })
    at = end
  }
  return entries
}

function valueSize(bytes: Buffer, at: number): number {
  const tag = String.fromCharCode(bytes.readUInt8(at))
  if (!(tag in VALUE_BYTES)) throw new RangeError(`'${tag}' is not a header type`)
  return VALUE_BYTES[tag] ?? 4 + bytes.readUInt32BE(at + 1)
}

function sizeOf(bytes: Buffer, at: number, kind: (typeof PROPERTIES)[number][1]): number {
  if (kind === 'text') return 1 + bytes.readUInt8(at)
  if (kind === 'table') return 4 + bytes.readUInt32BE(at)
  return kind === 'octet' ? 1 : 8
}

function encodeTable(entries: readonly HeaderEntry[]): Buffer {
  const parts: Buffer[] = [Buffer.alloc(4)]
  for (const { name, value } of entries) parts.push(Buffer.of(name.length), name, value)
  const bytes = Buffer.concat(parts)
  bytes.writeUInt32BE(bytes.length - 4, 0)
  return bytes
}

function shortText(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}
