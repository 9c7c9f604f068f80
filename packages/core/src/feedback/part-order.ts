import { StreamError } from '../errors.js'
import type { ReplyPart } from './reply-part.js'

/** What the caller of a request gets to see next. */
export interface PartTaker {
  /** Parts that were handed to the caller. */
  readonly taken: number
  /** Forgets parts that came and were not handed out. */
  discard(): void
  part(payload: Buffer): void
  end(error: StreamError | undefined): void
}

/** Runs that were given up; more than this many starts of one handler no request outlives. */
const MAX_ABANDONED = 1_000

/**
 * Puts the records of one reply in order, each once. A handler may be started again elsewhere (its process was killed): parts of two
 * starts are never mixed. Where nothing was handed out yet, the newer start counts; else the reply ends with ABORTED.
 */
export class PartOrder {
  readonly #taker: PartTaker
  readonly #abandoned = new Set<string>()
  readonly #early = new Map<number, ReplyPart>()
  #from: string | undefined
  #run: string | undefined
  #next = 1

  constructor(taker: PartTaker) {
    this.#taker = taker
  }

  add(part: ReplyPart): void {
    // The group that answers first is the one that answers.
    this.#from ??= part.from
    if (part.from !== this.#from || this.#abandoned.has(part.run)) return
    if (this.#run !== undefined && part.run !== this.#run && !this.#startAnew()) return
    this.#run = part.run
    if (part.number < this.#next) return
    this.#early.set(part.number, part)
    for (let next = this.#early.get(this.#next); next !== undefined; next = this.#early.get(this.#next)) {
      this.#early.delete(this.#next)
      this.#next += 1
      if (next.payload !== undefined) this.#taker.part(next.payload)
      if (next.end) return this.#taker.end(next.error)
    }
  }

  /** False where the caller has seen parts of the start before: the reply is over. */
  #startAnew(): boolean {
    if (this.#taker.taken > 0) {
      this.#taker.end(
        new StreamError(
          `the handler was started again after ${this.#taker.taken} parts of its reply had been read: the rest would be those of another start`,
          { code: 'ABORTED', operation: 'request' },
        ),
      )
      return false
    }
    if (this.#abandoned.size < MAX_ABANDONED) this.#abandoned.add(this.#run as string)
    this.#taker.discard()
    this.#early.clear()
    this.#next = 1
    return true
  }
}
