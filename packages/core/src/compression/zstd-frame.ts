const MAGIC = 0xfd2fb528

const DICTIONARY_BYTES = [0, 1, 2, 4] as const

/**
 * Returns the decompressed size that a Zstandard frame declares (RFC 8878, 3.1.1.1), or `undefined` when it declares
 * none. Throws a RangeError when its header is damaged.
 */
export function declaredZstdBytes(frame: Buffer): number | undefined {
  if (frame.readUInt32LE(0) !== MAGIC) throw new RangeError('not a Zstandard frame')
  const descriptor = frame.readUInt8(4)
  const single = (descriptor & 0x20) > 0
  const at = 5 + (single ? 0 : 1) + (DICTIONARY_BYTES[descriptor & 3] as number)
  switch (descriptor >>> 6) {
    case 0:
      return single ? frame.readUInt8(at) : undefined
    case 1:
      return frame.readUInt16LE(at) + 256
    case 2:
      return frame.readUInt32LE(at)
    default:
      return Number(frame.readBigUInt64LE(at))
  }
}
