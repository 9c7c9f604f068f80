import { type Backoff, backoffDelayMs } from '@streamswitch/core/driver'
import type { Unreadable } from './batch-reader.js'
import { type Place, placeKey } from './places.js'

const BACKOFF: Backoff = { minDelayMs: 1_000, maxDelayMs: 60_000, factor: 2 }

interface Failure {
  readonly offset: number
  readonly unreadable: Unreadable
  readonly failures: number
  /** By the monotonic clock. */
  readonly retryAt: number
}

/**
 * Partitions in which something can't be read, and when each is retried. Persists across connections and generations,
 * so that these don't restart the backoff.
 */
export class UnreadablePartitions {
  readonly #failures = new Map<string, Failure>()

  /** Reading has failed at an offset. Returns how long to wait, in milliseconds. */
  failed(place: Place, offset: number, unreadable: Unreadable): number {
    const key = placeKey(place)
    const known = this.#failures.get(key)
    const failures = known?.offset === offset ? known.failures + 1 : 1
    const delayMs = backoffDelayMs(BACKOFF, failures)
    this.#failures.set(key, { offset, unreadable, failures, retryAt: performance.now() + delayMs })
    return delayMs
  }

  /**
   * Returns what is known of a partition that is read from an offset on: what failed there, and the rest of its wait.
   */
  recall(place: Place, offset: number): { readonly unreadable: Unreadable; readonly delayMs: number } | undefined {
    const known = this.#failures.get(placeKey(place))
    if (known?.offset !== offset) return undefined
    return { unreadable: known.unreadable, delayMs: Math.max(0, known.retryAt - performance.now()) }
  }

  /** The partition can be read. */
  forget(place: Place): void {
    this.#failures.delete(placeKey(place))
  }
}
