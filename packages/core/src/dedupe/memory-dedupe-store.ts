import { type OptionInput, option } from '../options/fields.js'
import { readOptions } from '../options/resolve.js'
import type { ClaimAnswer, CompletionAnswer, DedupeClaim, DedupeMark, DedupeStore } from './dedupe-store.js'

const memoryDedupeFields = {
  /**
   * Maximum number of messages remembered. Beyond it the oldest are forgotten first, whatever their `ttlMs`.
   * @default 1000000
   */
  maxMarks: option.integer({ default: 1_000_000, min: 1, max: 16_000_000 }),
}

interface Entry {
  readonly token: string
  readonly done: boolean
  /** By the process's monotonic clock, in milliseconds. */
  readonly until: number
}

/** How many entries each new entry checks for expiry, so that no sweep takes long. */
const SWEPT = 2

/**
 * Stores marks in this process's memory: for tests, for the memory transport, and for a group whose only member is one
 * process that may forget everything when it ends. Loops that share the work of a group must share the store.
 */
export class MemoryDedupeStore implements DedupeStore {
  readonly #entries = new Map<string, Entry>()
  readonly #maxMarks: number
  #sweep = this.#entries.entries()

  /** Throws INVALID_ARGUMENT. Options: `maxMarks`, the maximum number of messages remembered (default 1,000,000). */
  constructor(options: OptionInput<typeof memoryDedupeFields> = {}) {
    this.#maxMarks = readOptions(memoryDedupeFields, options, { subject: 'the memory dedupe store' }).maxMarks
  }

  /** Number of remembered messages: done, or being handled. Some may have expired. */
  get size(): number {
    return this.#entries.size
  }

  async claim(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly ClaimAnswer[]> {
    const now = performance.now()
    return claims.map((claim) => {
      const key = keyOf(claim)
      const entry = this.#live(key, now)
      if (entry === undefined || (!entry.done && entry.token === claim.token)) {
        this.#set(key, { token: claim.token, done: false, until: now + claimMs }, now)
        return 'claimed'
      }
      return entry.done ? 'done' : { busyForMs: entry.until - now }
    })
  }

  async extend(claims: readonly DedupeClaim[], claimMs: number): Promise<readonly boolean[]> {
    const now = performance.now()
    return claims.map((claim) => {
      const key = keyOf(claim)
      const entry = this.#live(key, now)
      if (entry === undefined || entry.done || entry.token !== claim.token) return false
      this.#set(key, { ...entry, until: now + claimMs }, now)
      return true
    })
  }

  async complete(claims: readonly DedupeClaim[]): Promise<readonly CompletionAnswer[]> {
    const now = performance.now()
    return claims.map((claim) => {
      const key = keyOf(claim)
      const entry = this.#live(key, now)
      if (entry !== undefined && entry.token !== claim.token) return entry.done ? 'done' : 'busy'
      this.#set(key, { token: claim.token, done: true, until: now + claim.ttlMs }, now)
      return 'completed'
    })
  }

  async release(claims: readonly DedupeClaim[]): Promise<void> {
    for (const claim of claims) {
      const key = keyOf(claim)
      const entry = this.#entries.get(key)
      if (entry !== undefined && !entry.done && entry.token === claim.token) this.#entries.delete(key)
    }
  }

  #live(key: string, now: number): Entry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || entry.until > now) return entry
    this.#entries.delete(key)
    return undefined
  }

  #set(key: string, entry: Entry, now: number): void {
    // Reinserted, so that the map stays in the order of the last change, and the oldest is removed first.
    this.#entries.delete(key)
    this.#entries.set(key, entry)
    for (let looked = 0; looked < SWEPT; looked += 1) this.#sweepOne(now)
    if (this.#entries.size <= this.#maxMarks) return
    for (const [oldest, { done }] of this.#entries) {
      if (!done) continue
      this.#entries.delete(oldest)
      return
    }
  }

  #sweepOne(now: number): void {
    const next = this.#sweep.next()
    if (next.done === true) this.#sweep = this.#entries.entries()
    else if (next.value[1].until <= now) this.#entries.delete(next.value[0])
  }
}

/** No portable name contains a line break, so no two messages share a key. */
function keyOf({ topic, group, id }: DedupeMark): string {
  return `${topic}\n${group}\n${id}`
}
