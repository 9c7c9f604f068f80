import { POLL_MS, WAIT_MS } from './load.js'

/**
 * Waits for conditions. What changes state calls {@link Watch.changed}, and every waiting condition is looked at again in the
 * same turn of the event loop; conditions that no event announces are looked at every {@link POLL_MS}.
 */
export class Watch {
  readonly #checks = new Set<() => void>()
  #scheduled = false

  /** Something happened. Cheap: many calls within one turn cost one look. */
  changed(): void {
    if (this.#scheduled || this.#checks.size === 0) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      for (const check of [...this.#checks]) check()
    })
  }

  /**
   * Resolves once the condition holds. Rejects when the condition throws, and after `timeoutMs` with a message that says what
   * was waited for; `state` adds what was there instead.
   */
  until(
    condition: () => boolean,
    what: string,
    state: () => string = () => '',
    timeoutMs: number = WAIT_MS,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        clearInterval(poll)
        clearTimeout(deadline)
        this.#checks.delete(check)
        settle()
      }
      const check = (): void => {
        try {
          if (condition()) end(resolve)
        } catch (error) {
          end(() => reject(error))
        }
      }
      const poll = setInterval(check, POLL_MS)
      const deadline = setTimeout(() => {
        const found = state()
        end(() => reject(new Error(`waited ${timeoutMs} ms for: ${what}${found === '' ? '' : `; instead: ${found}`}`)))
      }, timeoutMs)
      this.#checks.add(check)
      check()
    })
  }
}

/** Resolves as the promise does; rejects after `timeoutMs` with a message that says what didn't happen. */
export async function within<T>(promise: PromiseLike<T>, what: string, timeoutMs: number = WAIT_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${timeoutMs} ms for: ${what}`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, deadline])
  } finally {
    clearTimeout(timer)
  }
}

/** A promise with its ends in hand: what lets a test hold a handler until it has seen enough. */
export class Gate {
  readonly opened: Promise<void>
  #open: () => void = () => {}

  constructor() {
    this.opened = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  open(): void {
    this.#open()
  }
}
