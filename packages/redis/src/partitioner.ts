/**
 * The partition of a key: FNV-1a, 32 bit, over the key's bytes (UTF-8 for a string), unsigned, modulo the number of
 * partitions. Part of the wire format: another producer that must keep the order of a key must use the same.
 */
export function partitionOfKey(key: string | Buffer, partitions: number): number {
  if (partitions === 1) return 0
  if (typeof key !== 'string') return hashBytes(key) % partitions
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) {
    const code = key.charCodeAt(index)
    if (code > 0x7f) return hashBytes(Buffer.from(key)) % partitions
    hash = Math.imul(hash ^ code, 0x01000193)
  }
  return (hash >>> 0) % partitions
}

function hashBytes(bytes: Buffer): number {
  let hash = 0x811c9dc5
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}
