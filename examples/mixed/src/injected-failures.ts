/** One message in so many fails once before its work, and another one behind it. */
const EVERY = 40

/** Makes some messages of a service fail once, before or after they were sent onwards. */
export class InjectedFailures {
  readonly #failed = new Set<string>()
  #count = 0

  before(id: string): void {
    this.#count += 1
    if (this.#count % EVERY === 0) this.#fail(`before ${id}`)
  }

  after(id: string): void {
    if (this.#count % EVERY === EVERY / 2) this.#fail(`after ${id}`)
  }

  #fail(where: string): void {
    if (this.#failed.has(where)) return
    this.#failed.add(where)
    throw new Error(`injected failure ${where}`)
  }
}
