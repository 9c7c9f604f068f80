/** A caller that waits for an answer about an item. */
export interface Caller<Item, Answer> {
  readonly item: Item
  resolve(answer: Answer): void
  reject(error: unknown): void
}

/** Maximum number of items per call. */
const MOST = 1_000

/** Combines calls: requests of one turn of the event loop, or made during a call, are combined into the next. */
export class GatheredCalls<Item, Answer> {
  readonly #call: (items: readonly Item[]) => Promise<readonly Answer[]>
  readonly #more: (() => readonly Caller<Item, Answer>[]) | undefined
  #waiting: Caller<Item, Answer>[] = []
  #active = false

  /**
   * @param call - takes a list and answers in its order.
   * @param more - returns further items for each call.
   */
  constructor(
    call: (items: readonly Item[]) => Promise<readonly Answer[]>,
    more?: () => readonly Caller<Item, Answer>[],
  ) {
    this.#call = call
    this.#more = more
  }

  /** Resolves with the item's answer; rejects as its call does. */
  ask(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject })
      if (this.#active) return
      this.#active = true
      queueMicrotask(() => void this.#work())
    })
  }

  /** Makes a call immediately, with the further items that exist; does nothing during a call. */
  hurry(): void {
    if (this.#active) return
    this.#active = true
    void this.#work()
  }

  async #work(): Promise<void> {
    do {
      const callers = this.#waiting.splice(0, MOST)
      if (this.#more !== undefined) callers.push(...this.#more())
      if (callers.length === 0) break
      try {
        const answers = await this.#call(callers.map((caller) => caller.item))
        for (const [index, caller] of callers.entries()) caller.resolve(answers[index] as Answer)
      } catch (error) {
        for (const caller of callers) caller.reject(error)
      }
    } while (this.#waiting.length > 0)
    this.#active = false
  }
}
