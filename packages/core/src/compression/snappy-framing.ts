/** What the Java client of Kafka puts before its blocks (the framing of xerial's snappy-java). Other clients of Kafka write one block without any. */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
/** The magic bytes, a version, and the oldest version that can read it. */
const XERIAL_HEAD_BYTES = 16

/** How data of snappy's own framing begins (google/snappy, framing_format.txt, 4.1): clients of RabbitMQ streams write it. */
const FRAMED_MAGIC = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1')
const COMPRESSED = 0x00
const STORED = 0x01
/** Chunks of these types and above may be passed over. */
const SKIPPABLE = 0x80
/** The checksum before a chunk's data. */
const CHECKSUM_BYTES = 4

/** Two bytes of a block stand for 64 decoded ones at most. What claims more is damaged, and isn't given the memory. */
const MAX_RATIO = 64

export interface SnappyBlock {
  readonly block: Buffer
  /** What it decompresses to, as it says itself. */
  readonly decodedBytes: number
  /** It is not compressed. */
  readonly isStored: boolean
}

/** The blocks of snappy data. Throws a RangeError where they are damaged. */
export function snappyBlocks(bytes: Buffer): SnappyBlock[] {
  if (bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return xerialBlocks(bytes)
  return bytes.subarray(0, FRAMED_MAGIC.length).equals(FRAMED_MAGIC) ? framedBlocks(bytes) : [sized(bytes)]
}

function xerialBlocks(bytes: Buffer): SnappyBlock[] {
  const blocks: SnappyBlock[] = []
  for (let at = XERIAL_HEAD_BYTES; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    if (length > bytes.length - at - 4) throw new RangeError('a block ends beyond the data')
    blocks.push(sized(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return blocks
}

/** Checksums are left to the transport's own. */
function framedBlocks(bytes: Buffer): SnappyBlock[] {
  const blocks: SnappyBlock[] = []
  for (let at = 0; at < bytes.length; ) {
    const type = bytes.readUInt8(at)
    const start = at + 4
    at = start + bytes.readUIntLE(at + 1, 3)
    if (at > bytes.length) throw new RangeError('a chunk ends beyond the data')
    if (type >= SKIPPABLE) continue
    const block = bytes.subarray(start + CHECKSUM_BYTES, at)
    if (type === COMPRESSED) blocks.push(sized(block))
    else if (type === STORED) blocks.push({ block, decodedBytes: block.length, isStored: true })
    else throw new RangeError(`a chunk of the unknown type ${type}`)
  }
  return blocks
}

/** A block begins with its decoded size, seven bits to a byte, the lowest first. */
function sized(block: Buffer): SnappyBlock {
  let decodedBytes = 0
  for (let index = 0; index < 5; index += 1) {
    const byte = block.readUInt8(index)
    decodedBytes += (byte & 0x7f) * 2 ** (7 * index)
    if (byte >= 0x80) continue
    if (decodedBytes > MAX_RATIO * block.length) throw new RangeError('a block claims more than it can hold')
    return { block, decodedBytes, isStored: false }
  }
  throw new RangeError('a block has no size')
}
