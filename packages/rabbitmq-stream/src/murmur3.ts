const SEED = 104_729
const C1 = 0xcc9e2d51
const C2 = 0x1b873593

/** MurmurHash3, 32 bit, with the seed of the RabbitMQ stream clients, over the key's UTF-8 form. Unsigned. */
export function murmur3(key: string): number {
  const bytes = Buffer.from(key)
  const blocks = bytes.length & ~3
  let hash = SEED
  for (let at = 0; at < blocks; at += 4) {
    hash ^= scramble(bytes.readInt32LE(at))
    hash = rotate(hash, 13)
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let at = bytes.length - 1; at >= blocks; at -= 1) tail = (tail << 8) | (bytes[at] ?? 0)
  if (bytes.length > blocks) hash ^= scramble(tail)
  hash ^= bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

/** The partition of a key: as the Java client's hash routing, an unsigned remainder. */
export function partitionOfKey(key: string, partitions: number): number {
  return partitions === 1 ? 0 : murmur3(key) % partitions
}

function scramble(block: number): number {
  return Math.imul(rotate(Math.imul(block, C1), 15), C2)
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}
