/** How to tell the broker what is settled: everything up to a tag in one frame, the rest one by one. */
export interface AckPlan {
  readonly upTo: number | undefined
  readonly singles: readonly number[]
}

/**
 * Keeps which delivery tags of one channel are settled. Tags count from 1 per channel; only the channel that delivered them may
 * settle them, and each only once: the broker closes the channel otherwise.
 */
export class AckTracker {
  /** Every tag up to this one is settled. */
  #low = 0
  readonly #beyond = new Set<number>()

  /** Takes tags that were not settled before. */
  settle(tags: readonly number[]): AckPlan {
    for (const tag of tags) {
      if (tag === this.#low + 1) this.#low = tag
      else this.#beyond.add(tag)
      while (this.#beyond.delete(this.#low + 1)) this.#low += 1
    }
    let upTo: number | undefined
    const singles: number[] = []
    for (const tag of tags) {
      if (tag > this.#low) singles.push(tag)
      // The tag of such a frame must itself be unsettled so far: a new one, hence.
      else if (upTo === undefined || tag > upTo) upTo = tag
    }
    return { upTo, singles }
  }
}
