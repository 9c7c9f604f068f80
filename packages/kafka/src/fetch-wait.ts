/** Minimum wait of a fetch, in milliseconds. */
const SHORTEST_MS = 5

/**
 * How long a fetch may wait for data. While partitions are paused the fetch in flight doesn't include them, and kafkajs
 * can't end it early: a resumed partition waits until it is over. So the wait is short right after a pause, when a
 * resume is near, and grows with the pause: a quarter of it, up to the full wait.
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

  get ms(): number {
    if (this.#paused.size === 0) return this.#longestMs
    let youngest = 0
    for (const since of this.#paused.values()) youngest = Math.max(youngest, since)
    return Math.round(Math.min(this.#longestMs, Math.max(SHORTEST_MS, (performance.now() - youngest) / 4)))
  }
}
