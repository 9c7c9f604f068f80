import { untilNextStep } from '@streamswitch/core/driver'

/** Minimum wait of a fetch, in milliseconds. */
const SHORTEST_MS = 5

/**
 * Maximum wait while partitions are paused, in milliseconds: a partition that is resumed waits for the fetch in flight.
 */
const LONGEST_PAUSED_MS = 250

/**
 * How long a fetch may wait for data. While partitions are paused the fetch in flight doesn't include them, and kafkajs
 * can't end it early: a resumed partition waits until it is over. So the wait is short right after a pause, when a
 * resume is near, and grows with the pause: a quarter of it, up to a quarter of a second. Without pauses, the fetches of
 * all loops of a process end in the same turn of the event loop, and wake it once.
 */
export class FetchWait {
  readonly #longestMs: number
  readonly #paused = new Map<string, number>()

  constructor(longestMs: number) {
    this.#longestMs = longestMs
  }

  paused(topic: string, partition: number): void {
    const key = `${topic}/${partition}`
    // The newest pause is last.
    this.#paused.delete(key)
    this.#paused.set(key, performance.now())
  }

  resumed(topic: string, partition: number): void {
    this.#paused.delete(`${topic}/${partition}`)
  }

  clear(): void {
    this.#paused.clear()
  }

  /** How long a fetch that begins now may wait. */
  get ms(): number {
    const now = performance.now()
    if (this.#paused.size === 0) return Math.max(SHORTEST_MS, untilNextStep(this.#longestMs))
    let youngest = 0
    for (const since of this.#paused.values()) youngest = Math.max(youngest, since)
    const longest = Math.min(this.#longestMs, LONGEST_PAUSED_MS)
    return Math.round(Math.min(longest, Math.max(SHORTEST_MS, (now - youngest) / 4)))
  }
}
