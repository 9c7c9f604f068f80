/** A double-ended queue in a ring: constant-time at both ends, no allocation per element. */
export class Deque<T> {
  #ring: (T | undefined)[] = new Array(16)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(value: T): void {
    if (this.#length === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.#length) & (this.#ring.length - 1)] = value
    this.#length += 1
  }

  unshift(value: T): void {
    if (this.#length === this.#ring.length) this.#grow()
    this.#head = (this.#head - 1) & (this.#ring.length - 1)
    this.#ring[this.#head] = value
    this.#length += 1
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#ring[this.#head]
  }

  /** @param index - 0 is the first. */
  at(index: number): T | undefined {
    return index < this.#length ? this.#ring[(this.#head + index) & (this.#ring.length - 1)] : undefined
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const value = this.#ring[this.#head]
    this.#ring[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#ring.length - 1)
    this.#length -= 1
    return value
  }

  clear(): void {
    this.#ring = new Array(16)
    this.#head = 0
    this.#length = 0
  }

  *[Symbol.iterator](): Generator<T> {
    for (let index = 0; index < this.#length; index += 1) {
      yield this.#ring[(this.#head + index) & (this.#ring.length - 1)] as T
    }
  }

  #grow(): void {
    const larger: (T | undefined)[] = new Array(this.#ring.length * 2)
    for (let index = 0; index < this.#length; index += 1)
      larger[index] = this.#ring[(this.#head + index) & (this.#ring.length - 1)]
    this.#ring = larger
    this.#head = 0
  }
}
