const MAGIC = 0x184d2204

const CONTENT_SIZE = 0x08
const DICTIONARY = 0x01
const BLOCK_CHECKSUM = 0x10

/** Highest bit of a block's size: the block is stored uncompressed. */
const STORED = 0x8000_0000
const MIN_MATCH = 4
const EXTENDED = 15

/**
 * Returns the decompressed size of an LZ4 frame (LZ4 Frame Format 1.6). Frames needn't declare it, so blocks are
 * counted; counting ends once `enough` is exceeded. Throws a RangeError when the frame is damaged.
 */
export function decodedLz4Bytes(frame: Buffer, enough: number): number {
  if (frame.readUInt32LE(0) !== MAGIC) throw new RangeError('not an LZ4 frame')
  const flags = frame.readUInt8(4)
  // The magic bytes, flags, block size; the fields that the flags announce; a checksum of the header.
  let at = 6 + ((flags & CONTENT_SIZE) > 0 ? 8 : 0) + ((flags & DICTIONARY) > 0 ? 4 : 0) + 1
  let total = 0
  while (total <= enough) {
    const size = frame.readUInt32LE(at)
    if (size === 0) break
    const length = size >= STORED ? size - STORED : size
    at += 4
    if (length > frame.length - at) throw new RangeError('a block exceeds the end of the frame')
    total += size >= STORED ? length : decodedBlockBytes(frame, at, at + length)
    at += length + ((flags & BLOCK_CHECKSUM) > 0 ? 4 : 0)
  }
  return total
}

/** Adds up literals and matches of a block without decoding them (LZ4 Block Format). */
function decodedBlockBytes(frame: Buffer, start: number, end: number): number {
  let at = start
  let total = 0
  const extend = (length: number): number => {
    if (length < EXTENDED) return length
    let extended = length
    for (;;) {
      const byte = frame.readUInt8(at)
      at += 1
      extended += byte
      if (byte !== 0xff) return extended
    }
  }
  while (at < end) {
    const token = frame.readUInt8(at)
    at += 1
    const literals = extend(token >>> 4)
    total += literals
    at += literals
    // The last sequence of a block has literals only.
    if (at >= end) break
    at += 2
    total += extend(token & 0x0f) + MIN_MATCH
  }
  return total
}
