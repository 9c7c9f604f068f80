/** Below this a fetch brings a single message or a few small ones: it can't be made much smaller. */
const MIN_BYTES = 1024

/**
 * How many bytes one fetch of a transport may bring. A fetch that a slow link can't carry before its deadline would be asked for again
 * on the next connection, and again; so it is a quarter of that there. As long as answers come fast it grows back, up to the limit.
 */
export class FetchBudget {
  readonly #maxBytes: number
  readonly #callTimeoutMs: number
  #bytes: number

  constructor(maxBytes: number, callTimeoutMs: number) {
    this.#maxBytes = maxBytes
    this.#callTimeoutMs = callTimeoutMs
    this.#bytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  answered(tookMs: number): void {
    if (this.#bytes < this.#maxBytes && tookMs < this.#callTimeoutMs / 4)
      this.#bytes = Math.min(this.#maxBytes, this.#bytes * 2)
  }

  /** A fetch that might have brought so many bytes has failed. One that failed early says nothing of the link. */
  failed(tookMs: number, askedBytes: number): void {
    if (tookMs < this.#callTimeoutMs / 2) return
    const least = Math.min(MIN_BYTES, this.#maxBytes)
    this.#bytes = Math.max(least, Math.floor(Math.min(this.#bytes, askedBytes) / 4))
  }
}
