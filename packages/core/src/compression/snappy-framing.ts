/**
 * Header that Kafka's Java client writes before its blocks (the framing of xerial's snappy-java). Other Kafka clients
 * write one block without a header.
 */
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
/** The magic bytes, a version, and the minimum version that can read it. */
const XERIAL_HEAD_BYTES = 16

/**
 * Header of snappy's own framing (google/snappy, framing_format.txt, 4.1), which clients of RabbitMQ streams write.
 */
const FRAMED_MAGIC = Buffer.from('\xff\x06\x00\x00sNaPpY', 'latin1')
const COMPRESSED = 0x00
const STORED = 0x01
/** Chunks of these types and above may be skipped. */
const SKIPPABLE = 0x80
/** Size of the checksum before a chunk's data. */
const CHECKSUM_BYTES = 4

/**
 * Two bytes of a block decode to at most 64. A block that claims more is damaged, and no memory is allocated for it.
 */
const MAX_RATIO = 64

export interface SnappyBlock {
  readonly block: Buffer
  /** Decompressed size that the block declares. */
  readonly decodedBytes: number
  /** True when it is not compressed. */
  readonly isStored: boolean
}

/** Returns the blocks of snappy data. Throws a RangeError when they are damaged. */
export function snappyBlocks(bytes: Buffer): SnappyBlock[] {
  if (bytes.subarray(0, XERIAL_MAGIC.length).equals(XERIAL_MAGIC)) return xerialBlocks(bytes)
  return bytes.subarray(0, FRAMED_MAGIC.length).equals(FRAMED_MAGIC) ? framedBlocks(bytes) : [sized(bytes)]
}

function xerialBlocks(bytes: Buffer): SnappyBlock[] {
  const blocks: SnappyBlock[] = []
  for (let at = XERIAL_HEAD_BYTES; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    if (length > bytes.length - at - 4) throw new RangeError('a block exceeds the end of the data')
    blocks.push(sized(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
  return blocks
}

/** Doesn't verify checksums: the transport has its own. */
function framedBlocks(bytes: Buffer): SnappyBlock[] {
  const blocks: SnappyBlock[] = []
  for (let at = 0; at < bytes.length; ) {
    const type = bytes.readUInt8(at)
    const start = at + 4
    at = start + bytes.readUIntLE(at + 1, 3)
    if (at > bytes.length) throw new RangeError('a chunk exceeds the end of the data')
    if (type >= SKIPPABLE) continue
    const block = bytes.subarray(start + CHECKSUM_BYTES, at)
    if (type === COMPRESSED) blocks.push(sized(block))
    else if (type === STORED) blocks.push({ block, decodedBytes: block.length, isStored: true })
    else throw new RangeError(`unknown chunk type ${type}`)
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
    if (decodedBytes > MAX_RATIO * block.length) throw new RangeError('a block declares more than it can hold')
    return { block, decodedBytes, isStored: false }
  }
  throw new RangeError('a block has no size')
}
