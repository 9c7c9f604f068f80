import { atMost } from '../at-most.js'
import type { ClosedLast } from './parts.js'
import { runnerError } from './runner-options.js'
import type { RunningLoop } from './running-loop.js'

/**
 * Fraction of the total time that is reserved for acks, flushes, producers and transports; below, its maximum in
 * milliseconds.
 */
const RESERVED_SHARE = 0.2
const MOST_RESERVED_MS = 3_000

/** Extra time for a close that exceeds its own deadline, in milliseconds. */
const SLACK_MS = 1_000

/**
 * One shutdown with one deadline: loops with their handlers, acks and flushes, then factories and producers, then
 * transports.
 */
export class Shutdown {
  readonly #timeoutMs: number
  readonly #hurry: AbortSignal
  readonly #started = performance.now()

  /** @param hurry - aborts all waits. */
  constructor(timeoutMs: number, hurry: AbortSignal) {
    this.#timeoutMs = timeoutMs
    this.#hurry = hurry
  }

  /** Waits for a promise within the remaining time. */
  async within(promise: Promise<unknown>): Promise<void> {
    await atMost(promise, this.#left, this.#hurry)
  }

  /** Closes everything, and returns what didn't finish in time. Never rejects. */
  async close(loops: readonly RunningLoop[], closedLast: readonly ClosedLast[]): Promise<unknown[]> {
    const reserved = Math.min(MOST_RESERVED_MS, this.#timeoutMs * RESERVED_SHARE)
    const handlersMs = Math.max(0, this.#left - reserved)
    const open = new Set<string>()
    const end = (label: string, closing: Promise<void>): Promise<void> => {
      open.add(label)
      return closing.finally(() => open.delete(label))
    }
    const failures: unknown[] = []
    await this.#stage(
      loops.map((one) => end(`loop '${one.name}'`, one.close({ timeoutMs: handlersMs, signal: this.#hurry }))),
    )
    const busy = loops.filter((one) => one.loop.stats().running > 0)
    if (busy.length > 0 && !this.#hurry.aborted)
      failures.push(this.#late(`handlers of ${names(busy)} were still running`))
    for (const stage of ['producers', 'transports'] as const) {
      const options = { timeoutMs: this.#left, signal: this.#hurry }
      const members = closedLast.filter((one) => one.stage === stage)
      await this.#stage(members.map((one) => end(one.label, one.close(options))))
    }
    if (open.size > 0) failures.push(this.#late(`${[...open].join(', ')} were still closing`))
    return failures
  }

  get #left(): number {
    return Math.max(0, this.#timeoutMs - (performance.now() - this.#started))
  }

  /** A close that hangs blocks nothing for longer than the deadline plus the slack. */
  async #stage(closing: readonly Promise<void>[]): Promise<void> {
    if (closing.length === 0) return
    const all = Promise.allSettled(closing)
    await atMost(all, this.#left + SLACK_MS, this.#hurry)
    if (this.#hurry.aborted) await atMost(all, SLACK_MS)
  }

  #late(what: string): Error {
    return runnerError('TIMEOUT', `${what} after ${this.#timeoutMs} ms (timeoutMs)`)
  }
}

function names(loops: readonly RunningLoop[]): string {
  return loops.map((one) => `'${one.name}'`).join(', ')
}
