/** MurmurHash3 (x86, 32 bit) of a text's UTF-8 bytes, as an unsigned number. */
export function murmur3(text: string, seed: number): number {
  const bytes = Buffer.from(text, 'utf8')
  const blocks = bytes.length >>> 2
  let hash = seed | 0
  for (let index = 0; index < blocks; index += 1) {
    hash ^= scramble(bytes.readInt32LE(index * 4))
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let index = bytes.length - 1; index >= blocks * 4; index -= 1) tail = (tail << 8) | (bytes[index] as number)
  if (bytes.length % 4 !== 0) hash ^= scramble(tail)
  hash ^= bytes.length
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function scramble(block: number): number {
  const mixed = Math.imul(block, 0xcc9e2d51)
  return Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593)
}

/** The seed of RabbitMQ's own clients for super streams: a key has the same partition there and here. */
const PARTITION_SEED = 104_729

/** Returns the partition of a key. Must never change: other clients compute it too. */
export function partitionOf(key: string, partitions: number): number {
  return partitions === 1 ? 0 : murmur3(key, PARTITION_SEED) % partitions
}
