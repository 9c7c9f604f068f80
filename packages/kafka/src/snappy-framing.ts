/** What the Java client puts before its blocks (the framing of xerial's snappy-java). Other clients write one block without any. */
const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
/** The magic bytes, a version, and the oldest version that can read it. */
const HEAD_BYTES = 16

/** Two bytes of a block stand for 64 decoded ones at most. What claims more is damaged, and isn't given the memory. */
const MAX_RATIO = 64

export interface SnappyBlock {
  readonly block: Buffer
  /** What it decompresses to, as it says itself. */
  readonly decodedBytes: number
}

/** The blocks of snappy data. Throws a RangeError where they are damaged. */
export function snappyBlocks(bytes: Buffer): SnappyBlock[] {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return [sized(bytes)]
  const blocks: SnappyBlock[] = []
  for (let at = HEAD_BYTES; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at)
    if (length > bytes.length - at - 4) throw new RangeError('a block ends beyond the data')
    blocks.push(sized(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
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
    return { block, decodedBytes }
  }
  throw new RangeError('a block has no size')
}
