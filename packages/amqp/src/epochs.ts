/**
 * Gives each assignment an epoch. Epochs increase within the process, and across processes as far as their clocks
 * agree: the protocol has no fencing token.
 */
export class Epochs {
  #last = 0

  next(): number {
    this.#last = Math.max(this.#last + 1, Date.now())
    return this.#last
  }
}

export const processEpochs = new Epochs()
