/**
 * Remembers the latest entries: at least `size` of them, at most twice as many. Two generations: when the younger is full, the
 * older is forgotten as a whole, which costs nothing per entry.
 */
export class Recent<Value> {
  readonly #size: number
  #young = new Map<string, Value>()
  #old = new Map<string, Value>()

  constructor(size: number) {
    this.#size = size
  }

  get(id: string): Value | undefined {
    return this.#young.get(id) ?? this.#old.get(id)
  }

  set(id: string, value: Value): void {
    this.#young.set(id, value)
    if (this.#young.size < this.#size) return
    this.#old = this.#young
    this.#young = new Map()
  }

  delete(id: string): void {
    this.#young.delete(id)
    this.#old.delete(id)
  }
}
