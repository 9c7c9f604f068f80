import type { Delivery } from './delivery.js'

/** Maximum number of messages remembered. */
const MAX_SET_APART = 10_000

/**
 * Messages that failed together with others, when it is unknown which one was the cause: handled alone, so that one
 * can't fail the others. By id, since a sender that retries sends a new delivery.
 */
export class SetApart {
  readonly #names = new Set<string>()

  has(delivery: Delivery): boolean {
    return this.#names.size > 0 && this.#names.has(nameOf(delivery))
  }

  add(delivery: Delivery): void {
    this.#names.add(nameOf(delivery))
    // Entries of messages that are never redelivered here must not stay forever.
    if (this.#names.size <= MAX_SET_APART) return
    for (const oldest of this.#names) {
      this.#names.delete(oldest)
      return
    }
  }

  /** It has been handled. */
  remove(delivery: Delivery): void {
    if (this.#names.size > 0) this.#names.delete(nameOf(delivery))
  }
}

function nameOf(delivery: Delivery): string {
  return `${delivery.topic}/${delivery.partition}/${delivery.id}`
}
