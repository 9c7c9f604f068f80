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
