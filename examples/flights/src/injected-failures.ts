/** Makes a fixed share of records fail once, always the same ones, so that every run has retries to cope with. */
export class InjectedFailures {
  readonly #every: number
  readonly #failed = new Set<string>()

  /** @param every - one record in so many fails. 0: none. */
  constructor(every: number) {
    this.#every = every
  }

  get count(): number {
    return this.#failed.size
  }

  /** Throws when a chosen record passes here for the first time in this process. */
  pass(id: string): void {
    if (this.#every === 0 || hash(id) % this.#every !== 0 || this.#failed.has(id)) return
    this.#failed.add(id)
    throw new Error(`injected failure of ${id}`)
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193) >>> 0
  return value
}
