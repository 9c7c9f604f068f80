/** Longest time that a timer of Node.js can run, in milliseconds; a longer one would end at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/**
 * Waits for a promise, but no longer than `timeoutMs`: resolves with its value, or with `undefined` when the time is over or the
 * promise has rejected. Never rejects: it is for goodbyes, which must not hold up a close.
 */
export async function atMost<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), Math.min(timeoutMs, LONGEST_TIMER_MS))
  })
  try {
    return await Promise.race([promise, timeout])
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
  }
}
