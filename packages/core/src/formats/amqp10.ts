/**
 * A value of AMQP 1.0. Source: AMQP 1.0, part 1, section 1.6
 * (https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html).
 */
export type AmqpValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Buffer
  | Date
  | readonly AmqpValue[]
  | ReadonlyMap<AmqpValue, AmqpValue>

/** Maximum number of elements without bytes: a broken message must not exhaust the memory, by one array or by many. */
const MAX_EMPTY_ELEMENTS = 65_536
/** Maximum nesting depth of values. Deeper ones would overflow the stack of the reader, here or later. */
const MAX_DEPTH = 100

/**
 * Reads a sequence of values. Throws RangeError when the bytes end early, contain an unknown type, are nested more than
 * 100 levels deep, or have more than 65,536 elements without bytes in arrays.
 */
export class AmqpReader {
  readonly bytes: Buffer
  at: number
  #depth = 0
  /** Counter of the whole message, shared by the readers of its parts. */
  #empty = { elements: 0 }

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  value(): AmqpValue {
    return this.#valueOf(this.#typeCode())
  }

  /** Returns the code of the next type; skips a descriptor before it. */
  #typeCode(): number {
    for (;;) {
      const code = this.u8()
      if (code !== 0x00) return code
      // A descriptor may have one itself.
      this.#depth += 1
      if (this.#depth > MAX_DEPTH) throw tooDeep()
      this.skip()
      this.#depth -= 1
    }
  }

  /** Reader of the values within one. */
  #within(start: number): AmqpReader {
    const inner = new AmqpReader(this.bytes.subarray(0, this.at), start)
    inner.#depth = this.#depth + 1
    inner.#empty = this.#empty
    if (inner.#depth > MAX_DEPTH) throw tooDeep()
    return inner
  }

  #valueOf(code: number): AmqpValue {
    const width = code >> 4
    if (width <= 0x9) return this.#fixed(code)
    const length = width === 0xa || width === 0xc || width === 0xe ? this.u8() : this.u32()
    const start = this.#advance(length)
    if (width === 0xa || width === 0xb) return this.#text(code & 0xf, start)
    const count = width === 0xc || width === 0xe ? this.bytes.readUInt8(start) : this.bytes.readUInt32BE(start)
    const inner = this.#within(start + (width === 0xc || width === 0xe ? 1 : 4))
    if (code === 0xc0 || code === 0xd0) return inner.#list(count)
    if (code === 0xc1 || code === 0xd1) return inner.#map(count)
    if (code === 0xe0 || code === 0xf0) return inner.#array(count)
    throw unknownType(code)
  }

  /** Skips a value without decoding it. */
  skip(): void {
    const code = this.#typeCode()
    const width = code >> 4
    if (width === 0x4) return
    if (width >= 0x5 && width <= 0x9) this.#advance(1 << (width - 5))
    else if (width === 0xa || width === 0xc || width === 0xe) this.#advance(this.u8())
    else if (width === 0xb || width === 0xd || width === 0xf) this.#advance(this.u32())
    else throw unknownType(code)
  }

  /** Reads the header of a list or map: returns the number of values that follow. */
  compound(): number {
    const code = this.u8()
    if (code === 0x45) return 0
    if (code === 0xc0 || code === 0xc1) {
      this.at += 1
      return this.u8()
    }
    if (code !== 0xd0 && code !== 0xd1) throw unknownType(code)
    this.at += 4
    return this.u32()
  }

  u8(): number {
    return this.bytes.readUInt8(this.#advance(1))
  }

  u32(): number {
    return this.bytes.readUInt32BE(this.#advance(4))
  }

  #advance(length: number): number {
    const start = this.at
    this.at += length
    if (this.at > this.bytes.length) throw new RangeError('the bytes end within a value')
    return start
  }

  #text(kind: number, start: number): string | Buffer {
    return kind === 0 ? this.bytes.subarray(start, this.at) : this.bytes.toString('utf8', start, this.at)
  }

  #list(count: number): AmqpValue[] {
    // Not allocated by a count that a broken message may have invented.
    const values: AmqpValue[] = []
    for (let index = 0; index < count; index += 1) values.push(this.value())
    return values
  }

  #map(count: number): Map<AmqpValue, AmqpValue> {
    const map = new Map<AmqpValue, AmqpValue>()
    for (let index = 0; index + 1 < count; index += 2) map.set(this.value(), this.value())
    return map
  }

  /** One constructor for all elements. */
  #array(count: number): AmqpValue[] {
    const code = this.#typeCode()
    if (code >> 4 === 0x4) this.#empty.elements += count
    if (this.#empty.elements > MAX_EMPTY_ELEMENTS)
      throw new RangeError(`arrays of more than ${MAX_EMPTY_ELEMENTS} elements without bytes`)
    const values: AmqpValue[] = []
    for (let index = 0; index < count; index += 1) values.push(this.#valueOf(code))
    return values
  }

  #fixed(code: number): AmqpValue {
    const { bytes } = this
    switch (code) {
      case 0x40:
        return null
      case 0x41:
        return true
      case 0x42:
        return false
      case 0x43:
      case 0x44:
        return 0
      case 0x45:
        return []
      case 0x56:
        return this.u8() !== 0
      case 0x50:
      case 0x52:
      case 0x53:
        return this.u8()
      case 0x51:
      case 0x54:
      case 0x55:
        return bytes.readInt8(this.#advance(1))
      case 0x60:
        return bytes.readUInt16BE(this.#advance(2))
      case 0x61:
        return bytes.readInt16BE(this.#advance(2))
      case 0x70:
        return this.u32()
      case 0x71:
        return bytes.readInt32BE(this.#advance(4))
      case 0x72:
        return bytes.readFloatBE(this.#advance(4))
      case 0x73:
        return String.fromCodePoint(this.u32())
      case 0x80:
        return narrow(bytes.readBigUInt64BE(this.#advance(8)))
      case 0x81:
        return narrow(bytes.readBigInt64BE(this.#advance(8)))
      case 0x82:
        return bytes.readDoubleBE(this.#advance(8))
      case 0x83:
        return new Date(Number(bytes.readBigInt64BE(this.#advance(8))))
      case 0x98:
        return uuid(bytes.subarray(this.#advance(16), this.at))
      case 0x74:
        return bytes.subarray(this.#advance(4), this.at)
      case 0x84:
        return bytes.subarray(this.#advance(8), this.at)
      case 0x94:
        return bytes.subarray(this.#advance(16), this.at)
      default:
        throw unknownType(code)
    }
  }
}

/** Returns a value as the string of a header; `undefined` when it has none (binary). */
export function toHeaderText(value: AmqpValue): string | undefined {
  if (typeof value === 'string') return value
  if (value === null) return ''
  if (Buffer.isBuffer(value)) return undefined
  if (value instanceof Date) return String(value.getTime())
  if (Array.isArray(value) || value instanceof Map) return toJson(value)
  return String(value)
}

/** Bytes as base64, times in milliseconds, integers beyond 2^53 as strings, maps as objects. */
function toJson(value: AmqpValue): string {
  return JSON.stringify(value, function (this: Readonly<Record<string, unknown>>, name, part: unknown) {
    const own = this[name]
    if (Buffer.isBuffer(own)) return own.toString('base64')
    if (own instanceof Date) return own.getTime()
    if (part instanceof Map) return Object.fromEntries([...part].map(([key, one]) => [String(key), one as unknown]))
    return typeof part === 'bigint' ? String(part) : part
  })
}

/** Sections of a message, by their descriptor (part 3, section 3.2). */
export const AmqpSection = {
  header: 0x70,
  deliveryAnnotations: 0x71,
  annotations: 0x72,
  properties: 0x73,
  applicationProperties: 0x74,
  data: 0x75,
  sequence: 0x76,
  value: 0x77,
  footer: 0x78,
} as const

const SYMBOLS: ReadonlyMap<AmqpValue, number> = new Map([
  ['amqp:header:list', AmqpSection.header],
  ['amqp:delivery-annotations:map', AmqpSection.deliveryAnnotations],
  ['amqp:message-annotations:map', AmqpSection.annotations],
  ['amqp:properties:list', AmqpSection.properties],
  ['amqp:application-properties:map', AmqpSection.applicationProperties],
  ['amqp:data:binary', AmqpSection.data],
  ['amqp:amqp-sequence:list', AmqpSection.sequence],
  ['amqp:amqp-value:*', AmqpSection.value],
  ['amqp:footer:map', AmqpSection.footer],
])

/** Returns the descriptor with which a section begins; -1 for an unknown one. Throws RangeError when there is none. */
export function readDescriptor(reader: AmqpReader): number {
  if (reader.u8() !== 0x00) throw new RangeError('a section without descriptor')
  const descriptor = reader.value()
  return typeof descriptor === 'number' ? descriptor : (SYMBOLS.get(descriptor) ?? -1)
}

/** True for a section that is a part of the body. */
export function isBody(section: number): boolean {
  return section === AmqpSection.data || section === AmqpSection.sequence || section === AmqpSection.value
}

/** Assembles the body of a message from its sections. */
export class AmqpBody {
  #data: Buffer[] | undefined
  #elements: AmqpValue[] | undefined

  /** Adds a section's value. */
  add(section: number, value: AmqpValue): void {
    if (section === AmqpSection.sequence) {
      this.#elements ??= []
      for (const element of Array.isArray(value) ? (value as readonly AmqpValue[]) : [value])
        this.#elements.push(element)
      return
    }
    const bytes = section === AmqpSection.data && Buffer.isBuffer(value) ? value : bytesOf(value)
    this.#data ??= []
    this.#data.push(bytes)
  }

  /**
   * Returns data unchanged, a string without quotes, a sequence and every other value as JSON. `undefined`: there was
   * no section.
   */
  get bytes(): Buffer | undefined {
    if (this.#elements !== undefined) return Buffer.from(toJson(this.#elements))
    return this.#data?.length === 1 ? this.#data[0] : this.#data && Buffer.concat(this.#data)
  }
}

/**
 * Returns the body of encoded sections, as RabbitMQ passes them to clients of AMQP 0-9-1. `undefined` for other bytes.
 */
export function amqpBodyOf(bytes: Buffer): Buffer | undefined {
  try {
    const reader = new AmqpReader(bytes)
    const body = new AmqpBody()
    while (reader.at < bytes.length) {
      const section = readDescriptor(reader)
      if (!isBody(section)) return undefined
      body.add(section, reader.value())
    }
    return body.bytes
  } catch {
    return undefined
  }
}

function bytesOf(value: AmqpValue): Buffer {
  if (Buffer.isBuffer(value)) return value
  return Buffer.from(value === null ? 'null' : (toHeaderText(value) ?? ''))
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

function uuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function tooDeep(): RangeError {
  return new RangeError(`values nested more than ${MAX_DEPTH} levels deep`)
}

function unknownType(code: number): RangeError {
  return new RangeError(`0x${code.toString(16)} is not an AMQP 1.0 type`)
}
