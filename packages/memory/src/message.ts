/** Returns the partition of a key. */
export function partitionOf(key: string, partitions: number): number {
  // FNV-1a over the key's UTF-16 code units, unsigned 32 bit.
  let value = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) value = Math.imul(value ^ key.charCodeAt(index), 0x01000193)
  return (value >>> 0) % partitions
}
