/** What a fetch may bring while nothing is known of the link: some seconds of a very slow one, and a few fetches later any size on a fast one. */
const FIRST_BYTES = 64 * 1024

/** Below this a fetch brings a single message or a few small ones: it can't be made much smaller. */
const LEAST_BYTES = 1024

/** One fetch under way. Exactly one of its methods is called, once. */
export interface MeasuredFetch {
  /** Its answer is here, or there will be none: how much has come until now, and how fast, says something of the link. */
  ended(): void
  /** Something else has taken its time: it says nothing. */
  dropped(): void
}

/**
 * How many bytes one fetch of a transport may bring. What comes behind an answer on the same connection (that to a heartbeat, an ack,
 * a probe) waits until it is through, and an answer that a slow link can't carry within a deadline is asked for again on the next
 * connection, and again. So the budget follows the link: it begins small, grows to twice what has just come fast, and shrinks to what
 * comes within `targetMs` where an answer takes longer. It outlives connections: what one was too slow for, the next one isn't asked.
 */
export class FetchBudget {
  readonly #maxBytes: number
  readonly #targetMs: number
  #bytes: number
  #running = 0

  /**
   * @param maxBytes - the most that a fetch may ever bring.
   * @param targetMs - how long an answer may be on its way, in milliseconds: a fraction of the shortest deadline of what waits behind it.
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
   * Begins to measure a fetch that is asked for now.
   *
   * @param arrived - how many bytes have come so far on the connection, whatever they are for.
   * @param waitMs - how long the broker may hold the answer back while it has nothing to give, in milliseconds.
   */
  begin(arrived: () => number, waitMs = 0): MeasuredFetch {
    this.#running += 1
    const [running, before, at] = [this.#running, arrived(), performance.now()]
    return {
      ended: () => {
        // Those that began together share the link, although some end before the others.
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
      // Where next to nothing came the other end was silent, or busy: that is no slow link.
      if (came < LEAST_BYTES) return
      const least = Math.min(LEAST_BYTES, this.#maxBytes)
      this.#bytes = Math.max(least, Math.min(this.#bytes, Math.floor((came * this.#targetMs) / tookMs)))
    } else if (tookMs < this.#targetMs / 2) {
      this.#bytes = Math.min(this.#maxBytes, Math.max(this.#bytes, Math.floor(2 * came)))
    }
  }
}
