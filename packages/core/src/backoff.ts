/** Exponential backoff with full range between half and all of the delay, so that many clients don't return in step. */
export interface Backoff {
  readonly minDelayMs: number
  readonly maxDelayMs: number
  readonly factor: number
}

/** How reconnecting and resending wait, on every transport. */
export const RECONNECT_BACKOFF: Backoff = { minDelayMs: 50, maxDelayMs: 5_000, factor: 2 }

/** The wait before try number `attempt` (1 is the first repetition), in milliseconds. */
export function backoffDelayMs(backoff: Backoff, attempt: number, random: () => number = Math.random): number {
  const full = Math.min(backoff.maxDelayMs, backoff.minDelayMs * backoff.factor ** Math.max(0, attempt - 1))
  return full / 2 + (full / 2) * random()
}
