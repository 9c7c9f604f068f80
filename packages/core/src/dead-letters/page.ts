import { StreamError } from '../errors.js'
import type { DeadLetter, DeadLetterDetails } from './dead-letter.js'
import { summaryOf } from './dead-letter.js'

/** Some dead letters of a list. */
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[]
  /** Given to the next call, it goes on there; `undefined` when there is nothing behind these. */
  readonly cursor: string | undefined
}

/**
 * Gathers one page while dead letters go by. A cursor names the last letter of the page before; should that one be gone by now, what
 * failed at the same time or later follows.
 */
export class PageGathering {
  readonly #limit: number
  readonly #after: { readonly mark: string; readonly failedAt: number } | undefined
  readonly #letters = new Map<string, DeadLetterDetails>()
  #found = false
  /** There is more than the page holds. */
  overflows = false

  /** Throws INVALID_ARGUMENT for a cursor that no list gave. */
  constructor(limit: number, cursor: string | undefined) {
    this.#limit = limit
    this.#after = cursor === undefined ? undefined : readCursor(cursor)
  }

  /** The page is full, and it is known where it begins. */
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

  /** It turns out that this one is gone. */
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

/** Tells one dead letter from another, also where its position in the topic changes with each reading. */
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
    // Told below.
  }
  throw new StreamError('cursor: no list of dead letters gave this one', {
    code: 'INVALID_ARGUMENT',
    operation: 'list',
  })
}
