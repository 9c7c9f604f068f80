/**
 * Says when unfinished deliveries may go back to a quorum queue without being mixed up. The queue appends what it gets back to
 * what it got back before, and delivers all of that first: while it may still hold some, deliveries must be finished here
 * instead. A delivery that was never delivered before shows that nothing of the kind is left.
 */
export class ReturnGate {
  #mayHoldMore = false
  #held = 0
  #closed = false
  #waiting: (() => void)[] = []

  /** A new channel. */
  reset(): void {
    this.#mayHoldMore = false
    this.#held = 0
    this.#closed = false
    this.#wake()
  }

  delivered(redelivered: boolean): void {
    this.#held += 1
    this.#mayHoldMore = redelivered
    if (!redelivered) this.#wake()
  }

  finished(count: number): void {
    this.#held -= count
    if (this.#held === 0) this.#wake()
  }

  /** Nothing is finished any more: whoever waits need not. */
  close(): void {
    this.#closed = true
    this.#wake()
  }

  /** Resolves when what is held may go back, or nothing is held. */
  async whenOpen(): Promise<void> {
    while (this.#mayHoldMore && this.#held > 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    }
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }
}
