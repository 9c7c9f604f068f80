/** A number that a JavaScript number can't hold exactly. */
export class BeyondNumbers extends Error {}

/**
 * Reads the numbers, texts and bytes of Kafka's protocol one after the other (Kafka protocol guide, protocol primitive types). Throws RangeError where
 * they end beyond the buffer, or a length is negative: reading never goes back, and ends.
 */
export class ByteReader {
  /** Where the next read begins. */
  at: number
  readonly #buffer: Buffer

  constructor(buffer: Buffer, at = 0) {
    this.#buffer = buffer
    this.at = at
  }

  get left(): number {
    return this.#buffer.length - this.at
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

  int64(): number {
    const value = this.int32() * 0x1_0000_0000 + this.#buffer.readUInt32BE(this.at)
    this.at += 4
    if (!Number.isSafeInteger(value)) throw new BeyondNumbers()
    return value
  }

  /** A zigzag varint of up to 64 bits. */
  varint(): number {
    const first = this.#byte()
    if (first < 0x80) return (first >>> 1) ^ -(first & 1)
    let value = first & 0x7f
    let factor = 0x80
    for (let byte = 0x80; byte >= 0x80; factor *= 0x80) {
      byte = this.#byte()
      value += (byte & 0x7f) * factor
    }
    if (!Number.isSafeInteger(value)) throw new BeyondNumbers()
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }

  #byte(): number {
    const byte = this.#buffer[this.at]
    if (byte === undefined) throw new RangeError('a number ends beyond the bytes')
    this.at += 1
    return byte
  }

  /** The bytes that come next, without reading them. */
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
