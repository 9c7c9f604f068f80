// All waits in core use the timers of the global object, as they are when the wait begins, so that a test's fake timers
// control them. Code that only yields to the event loop must not: it would hang under fake timers.
import { setImmediate as nextTurn } from 'node:timers'

/** Calls back in the next turn of the event loop, also when a test has replaced the global timers. */
export { nextTurn }

/** Resolves after `ms` milliseconds. Rejects with the signal's reason as soon as it aborts. */
export function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) return reject(signal.reason)
    const abort = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

/** Returns a signal that aborts with a TimeoutError after `ms` milliseconds. Its timer keeps no process alive. */
export function deadlineSignal(ms: number): AbortSignal {
  const controller = new AbortController()
  setTimeout(() => controller.abort(new DOMException('the deadline has passed', 'TimeoutError')), ms).unref()
  return controller.signal
}

/**
 * Calls `tick` every `everyMs` milliseconds, in the same turn of the event loop as all others of this process that do so: a hundred loops then wake
 * it once, and what they send leaves together. The first call comes after `everyMs` at the latest. Returns what ends it.
 *
 * @param keepsAlive - whether the process goes on for its sake. Default false.
 */
export function everyInStep(everyMs: number, tick: () => void, keepsAlive = false): () => void {
  let timer: NodeJS.Timeout
  let step = 0
  const run = (): void => {
    schedule()
    tick()
  }
  const schedule = (): void => {
    const now = performance.now()
    // A timer may end a little early: no step is taken twice.
    step = Math.max(step, Math.floor(now / everyMs)) + 1
    timer = setTimeout(run, Math.min(everyMs, Math.ceil(step * everyMs - now)))
    if (!keepsAlive) timer.unref()
  }
  schedule()
  return () => clearTimeout(timer)
}

/** Milliseconds until the next step of {@link everyInStep}, for what waits once, or has the broker wait: from 1 to `everyMs`. */
export function untilNextStep(everyMs: number): number {
  return Math.ceil(everyMs - (performance.now() % everyMs))
}
