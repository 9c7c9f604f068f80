import { gzipSync } from 'node:zlib'
import fc, { type Arbitrary } from 'fast-check'
import { crc32c } from '../../src/crc32c.js'

const HEAD_BYTES = 61
const MAGIC_AT = 16
const CHECKSUM_AT = 17
const ATTRIBUTES_AT = 21

/** Zigzag varints: small ones mostly, and those at which arithmetic ends. */
const varint: Arbitrary<Buffer> = fc
  .oneof(
    { weight: 8, arbitrary: fc.integer({ min: -2, max: 300 }).map(BigInt) },
    { weight: 1, arbitrary: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) },
    { weight: 1, arbitrary: fc.constantFrom(2n ** 31n - 1n, -(2n ** 31n), 2n ** 52n, -(2n ** 52n)) },
  )
  .map(encodeVarint)

function encodeVarint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value < 0n ? -value * 2n - 1n : value * 2n
  for (; rest >= 0x80n; rest /= 0x80n) bytes.push(Number(rest % 0x80n) + 0x80)
  return Buffer.from([...bytes, Number(rest)])
}

const content = fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))

/** Bytes with their length before them, sometimes with another one. */
const sized: Arbitrary<Buffer> = fc.oneof(
  { weight: 9, arbitrary: content.map((bytes) => Buffer.concat([encodeVarint(BigInt(bytes.length)), bytes])) },
  { weight: 1, arbitrary: fc.tuple(varint, content).map((parts) => Buffer.concat(parts)) },
)

const header = fc.tuple(sized, sized).map((parts) => Buffer.concat(parts))

const record: Arbitrary<Buffer> = fc
  .tuple(varint, varint, sized, sized, fc.array(header, { maxLength: 4 }), fc.option(varint, { freq: 8 }), fc.boolean())
  .map(([time, offset, key, value, headers, count, isWrong]) => {
    const body = Buffer.concat([
      Buffer.of(0),
      time,
      offset,
      key,
      value,
      isWrong && count !== null ? count : encodeVarint(BigInt(headers.length)),
      ...headers,
    ])
    return Buffer.concat([encodeVarint(BigInt(body.length)), body])
  })

const batch: Arbitrary<Buffer> = fc
  .record({
    records: fc.array(record, { maxLength: 4 }),
    attributes: fc.constantFrom(0, 0, 0, 1, 1, 2, 3, 4, 5, 8, 0x10, 0x30),
    offset: fc.oneof(fc.nat(1_000).map(BigInt), fc.constantFrom(2n ** 53n - 2n, -1n, 2n ** 62n)),
    lastDelta: fc.option(fc.integer(), { nil: undefined, freq: 8 }),
    count: fc.option(fc.integer(), { nil: undefined, freq: 8 }),
    length: fc.option(fc.oneof(fc.integer(), fc.integer({ min: -80, max: 80 })), { nil: undefined, freq: 8 }),
  })
  .map(({ records, attributes, offset, lastDelta, count, length }) => {
    const plain = Buffer.concat(records)
    const body = (attributes & 7) === 1 ? gzipSync(plain) : plain
    const head = Buffer.alloc(HEAD_BYTES)
    head.writeBigInt64BE(offset, 0)
    head.writeInt32BE(length ?? HEAD_BYTES - 12 + body.length, 8)
    head[MAGIC_AT] = 2
    head.writeInt16BE(attributes, ATTRIBUTES_AT)
    head.writeInt32BE(lastDelta ?? records.length - 1, 23)
    head.writeBigInt64BE(1_700_000_000_000n, 27)
    head.writeBigInt64BE(1_700_000_000_000n, 35)
    head.writeInt32BE(count ?? records.length, 57)
    return withFittingChecksums(Buffer.concat([head, body]))
  })

/** Record batches of format 2 (Kafka protocol guide, "Record Batch") with checksums that fit, valid or nearly so. */
export const recordBatches: Arbitrary<Uint8Array> = fc
  .array(batch, { minLength: 1, maxLength: 3 })
  .map((all) => Buffer.concat(all))

/** The bytes with a fitting checksum in whatever looks like a whole record batch: damage must not be found by its checksum alone. */
export function withFittingChecksums(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes)
  for (let at = 0; at + HEAD_BYTES <= copy.length; at += 1) {
    if (copy[at + MAGIC_AT] !== 2) continue
    const end = at + 12 + copy.readInt32BE(at + 8)
    if (end < at + HEAD_BYTES || end > copy.length) continue
    copy.writeUInt32BE(crc32c(copy.subarray(at + ATTRIBUTES_AT, end)), at + CHECKSUM_AT)
    at = end - 1
  }
  return copy
}
