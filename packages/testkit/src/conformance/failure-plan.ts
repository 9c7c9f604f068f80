/**
 * Which attempts of which messages fail: decided by seed and id alone, so that every run, and every member of a group, agrees.
 * Counts attempts itself, over all members that share the plan, since redeliveries may start counting anew.
 */
export class FailurePlan {
  readonly #seed: number
  readonly #rate: number
  readonly #seen = new Map<string, number>()
  #injected = 0

  /** @param rate - share of messages that fail at least once, from 0 to 1; half of them fail twice. */
  constructor(seed: number, rate: number) {
    this.#seed = seed
    this.#rate = rate
  }

  /** Failures thrown so far. A test of retrying must see some. */
  get injected(): number {
    return this.#injected
  }

  /** Throws if this start of the message is to fail. */
  attempt(id: string): void {
    const starts = (this.#seen.get(id) ?? 0) + 1
    this.#seen.set(id, starts)
    if (starts > this.failuresOf(id)) return
    this.#injected += 1
    throw new Error(`injected failure ${starts} of ${id}`)
  }

  /** How many starts of the message fail: 0, 1 or 2. */
  failuresOf(id: string): number {
    const share = hash(id, this.#seed) / 2 ** 32
    if (share >= this.#rate) return 0
    return share < this.#rate / 2 ? 2 : 1
  }
}

/** FNV-1a with a final mix, over the text and the seed: 32 bits. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
