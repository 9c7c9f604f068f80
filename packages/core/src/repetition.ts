/** Without a repetition for so long, the next one is news again, in milliseconds. */
const QUIET_MS = 30_000
const FIRST_INTERVAL_MS = 10_000
const MAX_INTERVAL_MS = 300_000

/** Something that keeps happening while one cause lasts: it is worth saying at once, and then less and less often. */
export class Repetition {
  #key = ''
  #last = Number.NEGATIVE_INFINITY
  #next = 0
  #intervalMs = FIRST_INTERVAL_MS

  /** It has happened again. True where that is news: nothing was said for a while, or `key`, which names the cause, is another one. */
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

  /** As {@link isNews}, and also true after 10 s of it, then after twice as long each time, up to 5 minutes. */
  isDue(key = ''): boolean {
    if (this.isNews(key)) return true
    const now = performance.now()
    if (now < this.#next) return false
    this.#intervalMs = Math.min(2 * this.#intervalMs, MAX_INTERVAL_MS)
    this.#next = now + this.#intervalMs
    return true
  }
}
