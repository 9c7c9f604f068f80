import { type FSWatcher, watch } from 'node:fs'

/**
 * Signals that a file has changed: immediately if the file system reports it, and in any case every `pollMs`, since not
 * every file system does (network ones don't), and a system may run out of watches.
 */
export class ChangeSignal {
  readonly #pollMs: number
  readonly #watcher: FSWatcher | undefined
  #wake: (() => void) | undefined
  #changed = false
  #closed = false

  constructor(path: string, pollMs: number) {
    this.#pollMs = pollMs
    this.#watcher = watchIfPossible(path, () => this.notify())
  }

  /**
   * Resolves at the next change, or when it is time to poll; immediately if something has changed since the last call.
   */
  wait(): Promise<void> {
    if (this.#changed || this.#closed) {
      this.#changed = false
      return Promise.resolve()
    }
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#wake = undefined
        this.#changed = false
        resolve()
      }
      const timer = setTimeout(done, this.#pollMs)
      this.#wake = done
    })
  }

  /** Ends the current wait, or the next one. */
  notify(): void {
    this.#changed = true
    this.#wake?.()
  }

  /** Ends all waits, also later ones. */
  close(): void {
    this.#closed = true
    this.#watcher?.close()
    this.notify()
  }
}

function watchIfPossible(path: string, changed: () => void): FSWatcher | undefined {
  try {
    return watch(path, changed).on('error', changed)
  } catch {
    return undefined
  }
}
