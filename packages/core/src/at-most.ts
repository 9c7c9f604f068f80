/** Longest time that a timer of Node.js can run, in milliseconds; a longer one would end at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/**
 * Waits for a promise, but no longer than `timeoutMs`, and not once `signal` aborts: resolves with its value, or with `undefined`
 * when the wait is over or the promise has rejected. Never rejects: it is for goodbyes, which must not hold up a close.
 */
export async function atMost<T>(promise: Promise<T>, timeoutMs: number, signal?: AbortSignal): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  let end: () => void = () => {}
  const timeout = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined)
    timer = setTimeout(end, Math.min(timeoutMs, LONGEST_TIMER_MS))
  })
  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted === true) end()
  try {
    return await Promise.race([promise, timeout])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', end)
  }
}
