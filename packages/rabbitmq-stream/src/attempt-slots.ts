import { type Attempt, type GroupRecords, MAX_ATTEMPT_SLOTS } from './group-records.js'

/** Which slot on the broker holds the note of which message. There are as many slots as are needed; at the most there may be, what is most tried wins. */
export class AttemptSlots {
  readonly #byOffset = new Map<number, { attempts: number; readonly slot: number }>()
  readonly #alone: Attempt | undefined
  #slots: number

  constructor(records: GroupRecords) {
    const position = records.position ?? 0
    this.#slots = records.slots
    this.#alone = records.alone !== undefined && records.alone.offset >= position ? records.alone : undefined
    for (const [offset, entry] of records.attempts) if (offset >= position) this.#byOffset.set(offset, { ...entry })
  }

  /** Attempts on record; 0 where there are none. */
  attemptsOf(offset: number): number {
    const alone = this.#alone?.offset === offset ? this.#alone.attempts : 0
    return Math.max(alone, this.#byOffset.get(offset)?.attempts ?? 0)
  }

  get empty(): boolean {
    return this.#byOffset.size === 0 && this.#alone === undefined
  }

  /** How many slots there are. */
  get slots(): number {
    return this.#slots
  }

  /** Where to put the note of a message. */
  claim(offset: number, attempts: number): number {
    const known = this.#byOffset.get(offset)
    if (known !== undefined) {
      known.attempts = attempts
      return known.slot
    }
    const slot = this.#free() ?? this.#evict()
    this.#byOffset.set(offset, { attempts, slot })
    return slot
  }

  /** Everything below is done. */
  forget(below: number): void {
    if (this.#byOffset.size === 0) return
    for (const offset of this.#byOffset.keys()) if (offset < below) this.#byOffset.delete(offset)
  }

  #free(): number | undefined {
    const taken = new Set<number>()
    let spare: [number, number] | undefined
    for (const [offset, { attempts, slot }] of this.#byOffset) {
      taken.add(slot)
      if (attempts === 0) spare ??= [offset, slot]
    }
    for (let slot = 0; slot < this.#slots; slot += 1) if (!taken.has(slot)) return slot
    if (spare !== undefined) {
      // What is done and waits for its commit says nothing any more.
      this.#byOffset.delete(spare[0])
      return spare[1]
    }
    if (this.#slots === MAX_ATTEMPT_SLOTS) return undefined
    this.#slots += 1
    return this.#slots - 1
  }

  #evict(): number {
    let least: [number, { attempts: number; slot: number }] | undefined
    for (const entry of this.#byOffset) if (least === undefined || entry[1].attempts < least[1].attempts) least = entry
    if (least === undefined) return 0
    this.#byOffset.delete(least[0])
    return least[1].slot
  }
}
