import { StreamError } from '../errors.js'
import type { DeadLetter, DeadLetterDetails } from './dead-letter.js'
import { summaryOf } from './dead-letter.js'

/** One page of a list of dead letters. */
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[]
  /** Pass it to the next call to get the next page; `undefined` on the last page. */
  readonly cursor: string | undefined
}

/**
 * Gathers one page from a stream of dead letters. A cursor names the last one of the previous page; if that has been
 * removed since, the page begins with what failed at the same time or later.
 */
export class PageGathering {
  readonly #limit: number
  readonly #after: { readonly mark: string; readonly failedAt: number } | undefined
  readonly #letters = new Map<string, DeadLetterDetails>()
  #found = false
  /** There are more than the page holds. */
  overflows = false

  /** Throws INVALID_ARGUMENT for an invalid cursor. */
  constructor(limit: number, cursor: string | undefined) {
    this.#limit = limit
    this.#after = cursor === undefined ? undefined : readCursor(cursor)
  }

  /** The page is full, and its beginning is known. */
  get complete(): boolean {
    return this.overflows && (this.#after === undefined || this.#found)
  }

  add(place: string, letter: DeadLetterDetails): void {
    const after = this.#after
    if (after !== undefined && !this.#found) {
      if (markOf(letter) === after.mark) {
        this.#found = true
        this.overflows = false
        this.#letters.clear()
        return
      }
      if (letter.failedAt < after.failedAt) return
    }
    if (this.#letters.size < this.#limit) this.#letters.set(place, letter)
    else this.overflows = true
  }

  /** This dead letter turns out to be removed. */
  remove(place: string): void {
    this.#letters.delete(place)
  }

  page(): DeadLetterPage {
    const letters = [...this.#letters.values()]
    const last = letters.at(-1)
    return {
      letters: letters.map(summaryOf),
      cursor: this.overflows && last !== undefined ? writeCursor(last) : undefined,
    }
  }
}

/** Identifies a dead letter, also when its offset in the topic changes with each read. */
function markOf({ id, failedAt, origin }: DeadLetter): string {
  return JSON.stringify([id, failedAt, origin.partition, origin.offset])
}

function writeCursor(letter: DeadLetter): string {
  return Buffer.from(JSON.stringify([markOf(letter), letter.failedAt])).toString('base64url')
}

function readCursor(cursor: string): { readonly mark: string; readonly failedAt: number } {
  try {
    const [mark, failedAt] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [unknown, unknown]
    if (typeof mark === 'string' && typeof failedAt === 'number') return { mark, failedAt }
  } catch {
    // Reported below.
  }
  throw new StreamError('cursor: expected a cursor that list() returned', {
    code: 'INVALID_ARGUMENT',
    operation: 'list',
  })
}
