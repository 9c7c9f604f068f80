const SEED = 0x9747b28c
const MULTIPLIER = 0x5bd1e995

/** Number of consecutive keyless records that share a partition, so that they form batches. */
const STICKY_RUN = 100

/** Chooses partitions as the Java client does, so that all producers of a topic send a key to the same partition. */
export class Partitioner {
  readonly #partitions: number
  #sticky = 0
  #run = 0

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  /** The partition of a key; for keyless records the partitions in turn, some records at a time. */
  partitionOf(key: string | Buffer | undefined): number {
    if (key !== undefined)
      return (murmur2(typeof key === 'string' ? Buffer.from(key) : key) & 0x7fffffff) % this.#partitions
    if (this.#run === STICKY_RUN) {
      this.#sticky = (this.#sticky + 1) % this.#partitions
      this.#run = 0
    }
    this.#run += 1
    return this.#sticky
  }
}

/** The 32-bit MurmurHash2 of `org.apache.kafka.common.utils.Utils.murmur2`, as a signed number. */
export function murmur2(data: Buffer): number {
  let hash = SEED ^ data.length
  const whole = data.length & ~3
  for (let index = 0; index < whole; index += 4) {
    let part = Math.imul(data.readInt32LE(index), MULTIPLIER)
    part ^= part >>> 24
    hash = Math.imul(hash, MULTIPLIER) ^ Math.imul(part, MULTIPLIER)
  }
  const rest = data.length - whole
  if (rest > 0) {
    for (let index = 0; index < rest; index += 1) hash ^= (data[whole + index] ?? 0) << (8 * index)
    hash = Math.imul(hash, MULTIPLIER)
  }
  hash = Math.imul(hash ^ (hash >>> 13), MULTIPLIER)
  return hash ^ (hash >>> 15)
}
