import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'

/** How many times a message is checked before it is reported. */
const LOOKS = 10

export interface UnackedWatchSettings {
  /** 0 disables the watch. */
  readonly timeoutMs: number
  readonly partitions: { all(): Iterable<PartitionState> }
  /**
   * The handler of this message returned `timeoutMs` ago, and neither `ack()` nor `nack()` was called. Called once per
   * message.
   */
  readonly unacked: (delivery: Delivery) => void
}

/**
 * With `ack: 'manual'`: detects messages whose handlers have returned and that aren't settled. A forgotten `ack()`
 * blocks its key forever, and looks like a loop that has nothing to do.
 */
export class UnackedWatch {
  readonly #settings: UnackedWatchSettings
  /** When each message was first seen waiting. */
  #since = new Map<Delivery, number>()
  readonly #told = new Set<Delivery>()
  #timer: NodeJS.Timeout | undefined

  constructor(settings: UnackedWatchSettings) {
    this.#settings = settings
  }

  /** Messages that were reported and still wait. */
  get count(): number {
    return [...this.#told].filter(isWaiting).length
  }

  start(): void {
    const { timeoutMs } = this.#settings
    if (timeoutMs === 0) return
    this.#timer ??= setInterval(() => this.#look(), Math.min(1_000, Math.max(5, timeoutMs / LOOKS)))
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const { timeoutMs, partitions, unacked } = this.#settings
    const now = performance.now()
    const since = new Map<Delivery, number>()
    for (const delivery of this.#told) if (!isWaiting(delivery)) this.#told.delete(delivery)
    for (const { tracked } of partitions.all()) {
      for (const delivery of tracked) {
        if (!isWaiting(delivery)) continue
        const first = this.#since.get(delivery) ?? now
        since.set(delivery, first)
        if (now - first < timeoutMs || this.#told.has(delivery)) continue
        this.#told.add(delivery)
        unacked(delivery)
      }
    }
    this.#since = since
  }
}

/** Its handler has returned, and its outcome is unknown. */
function isWaiting({ state, handling, completing }: Delivery): boolean {
  return state === DeliveryState.Running && !handling && !completing
}
