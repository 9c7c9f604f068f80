/**
 * Size of a fetch while the link is unknown: some seconds on a very slow link; on a fast link any size is reached
 * within a few fetches.
 */
const FIRST_BYTES = 64 * 1024

/** Minimum size: such a fetch returns a single message or a few small ones. */
const LEAST_BYTES = 1024

/** One fetch in flight. Exactly one of its methods is called, once. */
export interface MeasuredFetch {
  /** Its answer has arrived, or there will be none: the bytes and time measured so far describe the link. */
  ended(): void
  /** Something else has delayed it: it isn't measured. */
  dropped(): void
}

/**
 * Limits how many bytes one fetch of a transport may return. What follows an answer on the same connection (the answer
 * to a heartbeat, an ack, a probe) waits until it has been received, and an answer that a slow link can't carry within
 * a deadline is requested again on the next connection, and again. So the budget follows the link: it begins small,
 * grows to twice what was just received quickly, and shrinks to what arrives within `targetMs` when an answer takes
 * longer. It persists across connections, so that a new connection doesn't request what the last one was too slow for.
 */
export class FetchBudget {
  readonly #maxBytes: number
  readonly #targetMs: number
  #bytes: number
  #running = 0

  /**
   * @param maxBytes - maximum size of a fetch.
   * @param targetMs - maximum duration of an answer, in milliseconds: a fraction of the shortest deadline of what waits
   *   behind it.
   */
  constructor(maxBytes: number, targetMs: number) {
    this.#maxBytes = maxBytes
    this.#targetMs = targetMs
    this.#bytes = Math.min(maxBytes, FIRST_BYTES)
  }

  get bytes(): number {
    return this.#bytes
  }

  /**
   * Begins to measure a fetch that is requested now.
   *
   * @param arrived - number of bytes received on the connection so far, of any kind.
   * @param waitMs - how long the broker may delay the answer while it has nothing to return, in milliseconds.
   */
  begin(arrived: () => number, waitMs = 0): MeasuredFetch {
    this.#running += 1
    const [running, before, at] = [this.#running, arrived(), performance.now()]
    return {
      ended: () => {
        // Fetches that began together share the link, although some end earlier.
        const sharing = Math.max(running, this.#running)
        this.#running -= 1
        this.#learn((arrived() - before) / sharing, performance.now() - at, waitMs)
      },
      dropped: () => {
        this.#running -= 1
      },
    }
  }

  #learn(came: number, tookMs: number, waitMs: number): void {
    if (tookMs > this.#targetMs + waitMs) {
      // If almost nothing arrived, the other end was silent or busy: that doesn't describe the link.
      if (came < LEAST_BYTES) return
      const least = Math.min(LEAST_BYTES, this.#maxBytes)
      this.#bytes = Math.max(least, Math.min(this.#bytes, Math.floor((came * this.#targetMs) / tookMs)))
    } else if (tookMs < this.#targetMs / 2) {
      this.#bytes = Math.min(this.#maxBytes, Math.max(this.#bytes, Math.floor(2 * came)))
    }
  }
}
