interface Caller<Item, Answer> {
  readonly item: Item
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: unknown) => void
}

/** Most items of one call. */
const MOST = 1_000

/** Makes one call of many: what is asked for in one turn of the event loop, or while a call is under way, goes together in the next. */
export class GatheredCalls<Item, Answer> {
  readonly #call: (items: readonly Item[]) => Promise<readonly Answer[]>
  #waiting: Caller<Item, Answer>[] = []
  #active = false

  /** @param call - takes a list and answers in its order. */
  constructor(call: (items: readonly Item[]) => Promise<readonly Answer[]>) {
    this.#call = call
  }

  /** Resolves with the item's answer; rejects as the call does that took it along. */
  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#active) return
      this.#active = true
      queueMicrotask(() => void this.#work())
    })
  }

  async #work(): Promise<void> {
    while (this.#waiting.length > 0) {
      const callers = this.#waiting.splice(0, MOST)
      try {
        const answers = await this.#call(callers.map((caller) => caller.item))
        for (const [index, caller] of callers.entries()) caller.resolve(answers[index] as Answer)
      } catch (error) {
        for (const caller of callers) caller.reject(error)
      }
    }
    this.#active = false
  }
}
