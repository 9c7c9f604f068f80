/**
 * Values of AMQP 1.0, read in full. The library's decoder knows some of the types only, and ends the process at a number 0, an
 * empty text, a float or a boolean in the application properties.
 * Source: AMQP 1.0, part 1, section 1.6 (https://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-types-v1.0-os.html).
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

/** Reads values one after the other. Throws RangeError where the bytes end early, or hold a type that doesn't exist. */
export class AmqpReader {
  readonly bytes: Buffer
  at: number

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  value(): AmqpValue {
    const code = this.u8()
    if (code === 0x00) {
      this.skip()
      return this.value()
    }
    const width = code >> 4
    if (width <= 0x9) return this.#fixed(code)
    const length = width === 0xa || width === 0xc || width === 0xe ? this.u8() : this.u32()
    const start = this.#advance(length)
    if (width === 0xa || width === 0xb) return this.#text(code & 0xf, start)
    const count = width === 0xc || width === 0xe ? this.bytes.readUInt8(start) : this.bytes.readUInt32BE(start)
    const inner = new AmqpReader(this.bytes.subarray(0, this.at), start + (width === 0xc || width === 0xe ? 1 : 4))
    if (code === 0xc0 || code === 0xd0) return inner.#list(count)
    if (code === 0xc1 || code === 0xd1) return inner.#map(count)
    if (code === 0xe0 || code === 0xf0) return inner.#array(count)
    throw unknownType(code)
  }

  /** Passes over a value without making anything of it. */
  skip(): void {
    const code = this.u8()
    if (code === 0x00) {
      this.skip()
      return this.skip()
    }
    const width = code >> 4
    if (width === 0x4) return
    if (width >= 0x5 && width <= 0x9) this.#advance(1 << (width - 5))
    else if (width === 0xa || width === 0xc || width === 0xe) this.#advance(this.u8())
    else if (width === 0xb || width === 0xd || width === 0xf) this.#advance(this.u32())
    else throw unknownType(code)
  }

  /** The opening of a list or map: how many values follow. */
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
    // Not sized by a count that a broken message may have made up.
    const values: AmqpValue[] = []
    for (let index = 0; index < count; index += 1) values.push(this.value())
    return values
  }

  #map(count: number): Map<AmqpValue, AmqpValue> {
    const map = new Map<AmqpValue, AmqpValue>()
    for (let index = 0; index + 1 < count; index += 2) map.set(this.value(), this.value())
    return map
  }

  /** One constructor for all elements: read by putting it before each. */
  #array(count: number): AmqpValue[] {
    const code = this.u8()
    const values: AmqpValue[] = []
    for (let index = 0; index < count; index += 1) {
      const element = new AmqpReader(Buffer.concat([Buffer.of(code), this.bytes.subarray(this.at)]))
      values.push(element.value())
      this.at += element.at - 1
    }
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

/** A value as the text of a header; `undefined` where it has none (binary). */
export function toHeaderText(value: AmqpValue): string | undefined {
  if (typeof value === 'string') return value
  if (value === null) return ''
  if (Buffer.isBuffer(value)) return undefined
  if (value instanceof Date) return String(value.getTime())
  if (Array.isArray(value) || value instanceof Map) return toJson(value)
  return String(value)
}

function toJson(value: AmqpValue): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (part instanceof Map) return Object.fromEntries([...part].map(([name, one]) => [String(name), one as unknown]))
    return typeof part === 'bigint' ? String(part) : part
  })
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value
}

function uuid(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function unknownType(code: number): RangeError {
  return new RangeError(`0x${code.toString(16)} is no type of AMQP 1.0`)
}
