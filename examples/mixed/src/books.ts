import { EMPTY, type LedgerState } from './ledger.js'

/** How long a run may make no progress, in milliseconds. */
const PATIENCE_MS = 30_000

/** What the ledger has told, and the wait for the end of a run. */
export class Books {
  state: LedgerState = EMPTY
  /** Resolves when every receipt is booked, or one came out of order. Rejects when nothing comes any more, or the run fails. */
  readonly complete: Promise<void>
  readonly #expected: number
  #resolve: () => void = () => {}
  #reject: (error: Error) => void = () => {}
  #patience: NodeJS.Timeout | undefined

  constructor(expected: number) {
    this.#expected = expected
    this.complete = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.complete.catch(() => {})
    this.#wait()
  }

  told(state: LedgerState): void {
    this.state = state
    this.#wait()
    if (state.receipts >= this.#expected || state.outOfOrder > 0) this.#end(this.#resolve)
  }

  fail(error: Error): void {
    this.#end(() => this.#reject(error))
  }

  #wait(): void {
    clearTimeout(this.#patience)
    const text = `no receipt came for ${PATIENCE_MS} ms`
    this.#patience = setTimeout(() => this.fail(new Error(text)), PATIENCE_MS)
  }

  #end(settle: () => void): void {
    clearTimeout(this.#patience)
    settle()
  }
}
