/**
 * Exponential backoff with jitter, so that many clients don't reconnect at the same moment. `minDelayMs` and
 * `maxDelayMs` bound every wait, jitter included.
 */
export interface Backoff {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly factor: number
}

/** Backoff for reconnecting and resending, on every transport. */
export const RECONNECT_BACKOFF: Backoff = { minDelayMs: 50, maxDelayMs: 5_000, factor: 2 }

/** Maximum deviation of a wait from the plain exponential one, as a fraction. */
const JITTER = 0.25

/**
 * Returns the wait before attempt number `attempt` (1 is the first retry), in milliseconds: `minDelayMs * factor **
 * (attempt - 1)`, plus or minus 25 %, within the bounds.
 */
export function backoffDelayMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const { minDelayMs, maxDelayMs, factor } = backoff
  const plain = Math.min(maxDelayMs, minDelayMs * factor ** Math.max(0, attempt - 1))
  const least = Math.max(minDelayMs, plain * (1 - JITTER))
  const most = Math.min(maxDelayMs, plain * (1 + JITTER))
  return least + (most - least) * random()
}
