/** Exponential backoff with jitter, so that many clients don't return in step. `minDelayMs` and `maxDelayMs` are bounds of every wait, jitter included. */
export interface Backoff {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly factor: number
}

/** How reconnecting and resending wait, on every transport. */
export const RECONNECT_BACKOFF: Backoff = { minDelayMs: 50, maxDelayMs: 5_000, factor: 2 }

/** How far a wait may be from the plain exponential one, as a share of it. */
const JITTER = 0.25

/** The wait before try number `attempt` (1 is the first repetition), in milliseconds: `minDelayMs * factor ** (attempt - 1)`, 25 % more or less, within the bounds. */
export function backoffDelayMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const { minDelayMs, maxDelayMs, factor } = backoff
  const plain = Math.min(maxDelayMs, minDelayMs * factor ** Math.max(0, attempt - 1))
  const least = Math.max(minDelayMs, plain * (1 - JITTER))
  const most = Math.min(maxDelayMs, plain * (1 + JITTER))
  return least + (most - least) * random()
}
