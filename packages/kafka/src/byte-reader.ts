/** An offset or length that a JavaScript number can't represent exactly. No real log has one. */
class BeyondNumbers extends RangeError {
  constructor() {
    super('a number beyond 2^53')
  }
}

/** Of the tenth byte. */
const MAX_VARINT_FACTOR = 2 ** 63

/**
 * Reads the numbers, strings and bytes of Kafka's protocol (Kafka protocol guide, protocol primitive types). Throws
 * RangeError when they exceed the buffer, or a length is negative: reading never goes back, and ends.
 */
export class ByteReader {
  /** Position of the next read. */
  at: number
  readonly #buffer: Buffer

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer
    this.at = at
  }

  get left(): number {
    return this.#buffer.length - this.at
  }

  /** @param ahead - distance from the next read. */
  peekInt8(ahead: number): number {
    return this.#buffer.readInt8(this.at + ahead)
  }

  peekInt32(ahead: number): number {
    return this.#buffer.readInt32BE(this.at + ahead)
  }

  skip(bytes: number): void {
    // Written so that NaN fails as well.
    if (!(bytes >= 0 && bytes <= this.left)) throw new RangeError(`${bytes} bytes, where ${this.left} are left`)
    this.at += bytes
  }

  int8(): number {
    this.at += 1
    return this.#buffer.readInt8(this.at - 1)
  }

  int16(): number {
    this.at += 2
    return this.#buffer.readInt16BE(this.at - 2)
  }

  int32(): number {
    this.at += 4
    return this.#buffer.readInt32BE(this.at - 4)
  }

  /** Throws {@link BeyondNumbers}. */
  int64(): number {
    const value = this.roundedInt64()
    if (!Number.isSafeInteger(value)) throw new BeyondNumbers()
    return value
  }

  /** Returns the nearest number, for timestamps, which are checked on arrival. */
  roundedInt64(): number {
    const value = this.int32() * 0x1_0000_0000 + this.#buffer.readUInt32BE(this.at)
    this.at += 4
    return value
  }

  /** Returns its decimal digits, for numbers that are only names. */
  int64Text(): string {
    this.at += 8
    return this.#buffer.readBigInt64BE(this.at - 8).toString()
  }

  /** A zigzag varint of up to 64 bits. Throws {@link BeyondNumbers}. */
  varint(): number {
    const value = this.roundedVarint()
    if (!Number.isSafeInteger(value)) throw new BeyondNumbers()
    return value
  }

  /** Returns the nearest number, for timestamps. Throws a RangeError when it has more than 64 bits, or is cut off. */
  roundedVarint(): number {
    const first = this.#byte()
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let value = first & 0x7f
    let factor = 0x80
    for (let byte = 0x80; byte >= 0x80; factor *= 0x80) {
      if (factor > MAX_VARINT_FACTOR) throw new RangeError('a number of more than 64 bits')
      byte = this.#byte()
      value += (byte & 0x7f) * factor
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #byte(): number {
    const byte = this.#buffer[this.at]
    if (byte === undefined) throw new RangeError('a number exceeds the end of the bytes')
    this.at += 1
    return byte
  }

  /** Returns the next bytes, without reading them. */
  rest(length: number): Buffer {
    return this.#buffer.subarray(this.at, this.at + length)
  }

  bytes(length: number): Buffer {
    this.skip(length)
    return this.#buffer.subarray(this.at - length, this.at)
  }

  nullableBytes(): Buffer | null {
    const length = this.varint()
    return length < 0 ? null : this.bytes(length)
  }

  text(length: number): string {
    if (length <= 0) return ''
    this.skip(length)
    return this.#buffer.toString('utf8', this.at - length, this.at)
  }
}
