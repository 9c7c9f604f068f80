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

/** How far a part may be ahead of the next one. Transports keep the order of a reply's records, so that a longer gap is not going to be filled. */
const MAX_AHEAD = 1_000

/** What a part counts for besides its payload: an empty one takes memory as well. */
export const PART_BYTES = 256

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
  #aheadBytes = 0

  constructor(taker: PartTaker) {
    this.#taker = taker
  }

  /** Bytes of parts that wait for others before them. */
  get aheadBytes(): number {
    return this.#aheadBytes
  }

  /** Forgets what waits for others. Nothing more is added. */
  clear(): void {
    this.#early.clear()
    this.#aheadBytes = 0
  }

  add(part: ReplyPart): void {
    // The group that answers first is the one that answers.
    this.#from ??= part.from
    if (part.from !== this.#from || this.#abandoned.has(part.run)) return
    if (this.#run !== undefined && part.run !== this.#run && !this.#startAnew()) return
    this.#run = part.run
    if (part.number < this.#next || this.#early.has(part.number)) return
    if (part.number - this.#next >= MAX_AHEAD) return this.#taker.end(tooFarAhead(part.number, this.#next))
    this.#early.set(part.number, part)
    this.#aheadBytes += sizeOf(part)
    for (let next = this.#early.get(this.#next); next !== undefined; next = this.#early.get(this.#next)) {
      this.#early.delete(this.#next)
      this.#aheadBytes -= sizeOf(next)
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
    this.clear()
    this.#next = 1
    return true
  }
}

function sizeOf({ payload }: ReplyPart): number {
  return (payload?.length ?? 0) + PART_BYTES
}

function tooFarAhead(number: number, missing: number): StreamError {
  return new StreamError(
    `part ${number} of the reply has come while part ${missing} is missing: at most ${MAX_AHEAD} parts are kept for one that comes late`,
    { code: 'RESOURCE_EXHAUSTED', retryable: false, operation: 'request' },
  )
}
