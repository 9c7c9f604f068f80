/** After this long without a repetition, the next one is reported again, in milliseconds. */
const QUIET_MS = 30_000
const FIRST_INTERVAL_MS = 10_000
const MAX_INTERVAL_MS = 300_000

/** Limits how often a repeating event is reported: immediately at first, then less and less often. */
export class Repetition {
  #key = ''
  #last = Number.NEGATIVE_INFINITY
  #next = 0
  #intervalMs = FIRST_INTERVAL_MS

  /**
   * It has happened again. True when it should be reported: nothing was reported for a while, or `key`, which names the
   * cause, has changed.
   */
  isNews(key = ''): boolean {
    const now = performance.now()
    const isNew = key !== this.#key || now - this.#last > QUIET_MS
    this.#key = key
    this.#last = now
    if (isNew) {
      this.#intervalMs = FIRST_INTERVAL_MS
      this.#next = now + FIRST_INTERVAL_MS
    }
    return isNew
  }

  /** As {@link isNews}, and also true after 10 s, then after twice as long each time, up to 5 minutes. */
  isDue(key = ''): boolean {
    if (this.isNews(key)) return true
    const now = performance.now()
    if (now < this.#next) return false
    this.#intervalMs = Math.min(2 * this.#intervalMs, MAX_INTERVAL_MS)
    this.#next = now + this.#intervalMs
    return true
  }
}
