import { statSync } from 'node:fs'

/** How many times its limit a wait may take where the log goes on growing. */
const LONGEST = 3

/**
 * A wait's time limit. With a log file, every growth of the log starts the limit again, up to three times the limit in all: on a loaded
 * machine a broker starts slowly, but it goes on; one that is stuck writes nothing.
 */
export class Patience {
  readonly #limitMs: number
  readonly #logFile: string | undefined
  readonly #begin = performance.now()
  #progress = performance.now()
  #size = 0

  constructor(limitMs: number, logFile?: string) {
    this.#limitMs = limitMs
    this.#logFile = logFile
    this.#size = this.#logSize()
  }

  /** Milliseconds until the limit; zero or less when it has passed. */
  leftMs(): number {
    const size = this.#logSize()
    if (size !== this.#size) {
      this.#size = size
      this.#progress = performance.now()
    }
    const end = Math.min(this.#progress + this.#limitMs, this.#begin + LONGEST * this.#limitMs)
    return Math.ceil(end - performance.now())
  }

  /** What happened, for an error's text. */
  describe(): string {
    const waited = `is not ready after ${Math.round(performance.now() - this.#begin)} ms`
    return this.#logFile === undefined
      ? waited
      : `${waited}, the last ${this.#limitMs} ms of them without progress in its log`
  }

  #logSize(): number {
    if (this.#logFile === undefined) return 0
    return statSync(this.#logFile, { throwIfNoEntry: false })?.size ?? 0
  }
}
