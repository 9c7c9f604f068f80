import { StreamError } from '../errors.js'
import type { ReplyPart } from './reply-part.js'

/** Receives the parts for the caller of a request. */
export interface PartTaker {
  /** Number of parts that the caller has received. */
  readonly taken: number
  /** Drops parts that have arrived and were not received by the caller. */
  discard(): void
  part(payload: Buffer): void
  end(error: StreamError | undefined): void
}

/**
 * How far a part may be ahead of the next one. Transports keep the order of a reply's records, so a longer gap will not
 * be filled.
 */
const MAX_AHEAD = 1_000

/** Overhead of a part besides its payload: an empty one uses memory as well. */
export const PART_BYTES = 256

/** Number of abandoned runs remembered; no request has more starts of one handler than this. */
const MAX_ABANDONED = 1_000

/**
 * Puts the records of one reply in order, each once. A handler may be started again elsewhere (its process was killed):
 * parts of two starts are never mixed. If the caller has received nothing yet, the newer start replaces the older; else
 * the reply ends with ABORTED.
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

  /** Bytes of parts that wait for earlier ones. */
  get aheadBytes(): number {
    return this.#aheadBytes
  }

  /** Drops waiting parts. Nothing more is added. */
  clear(): void {
    this.#early.clear()
    this.#aheadBytes = 0
  }

  add(part: ReplyPart): void {
    // The group that answers first is the one whose reply counts.
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

  /** Returns false when the caller has received parts of the previous start: the reply is over. */
  #startAnew(): boolean {
    if (this.#taker.taken > 0) {
      this.#taker.end(
        new StreamError(
          `the handler was started again after ${this.#taker.taken} parts of its reply had been read: parts of two starts can't be mixed`,
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
    `part ${number} of the reply arrived while part ${missing} is missing: at most ${MAX_AHEAD} parts are kept waiting for a missing one`,
    { code: 'RESOURCE_EXHAUSTED', retryable: false, operation: 'request' },
  )
}
