/** Maximum delay of a Node.js timer, in milliseconds; a longer one fires immediately. */
const LONGEST_TIMER_MS = 2_147_483_647

/**
 * Waits for a promise until `timeoutMs` have passed or `signal` aborts. Resolves with the promise's value, or with
 * `undefined` when the wait ended first or the promise rejected. Never rejects. Meant for cleanup that must not block a
 * close.
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
