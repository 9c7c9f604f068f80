import { atMost } from '../at-most.js'
import type { ConsumerDriver } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import { noteOf } from './attempt-notes.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'
import type { Settler } from './settler.js'

/** Minimum time for acks after the handlers have ended, in milliseconds. */
const SETTLE_MS = 500

/** Ends the work on partitions without losing anything: for a close, and for a handover. */
export class WindDown {
  readonly #settler: Settler
  readonly #beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>
  #waiting: (() => void)[] = []

  /** @param beforeLeaving - runs once the handlers have ended, while acks still count; may use the remaining time. */
  constructor(settler: Settler, beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>) {
    this.#settler = settler
    this.#beforeLeaving = beforeLeaving
  }

  /** Starts nothing new in the partition, and its driver no longer waits for room. */
  begin(partition: PartitionState): void {
    if (partition.phase === 'open') partition.phase = 'draining'
    partition.leaving.abort()
    partition.wakeRoomWaiters()
  }

  /**
   * Waits for handlers for up to `timeoutMs`, or until `hurry` aborts, then aborts their signals with `reason`; flushes
   * acks; returns unstarted messages to the broker. Never rejects.
   */
  async finish(
    partitions: readonly PartitionState[],
    timeoutMs: number,
    reason: string,
    driver: ConsumerDriver | undefined,
    hurry?: AbortSignal,
  ): Promise<void> {
    const started = performance.now()
    for (const partition of partitions) this.begin(partition)
    await atMost(this.#quiet(partitions), timeoutMs, hurry)
    const outlived = partitions.map((partition) => [...partition.handling()].filter(({ suspect }) => suspect))
    for (const partition of partitions) if (partition.busy) abortHandlers(partition, reason)
    const left = (): number => (hurry?.aborted === true ? 0 : Math.max(0, timeoutMs - (performance.now() - started)))
    await atMost(this.#beforeLeaving(partitions), left(), hurry)
    const rest = Math.max(SETTLE_MS, left())
    const acks = partitions.map((partition) => this.#settler.drain(partition))
    const notes = partitions.map((partition, index) => noteEnds(partition, outlived[index] ?? [], driver))
    await atMost(Promise.all([...acks, ...notes]), rest)
    for (const partition of partitions) {
      const unstarted = [...partition.tracked].filter((delivery) => !delivery.handling && isUnsettled(delivery))
      if (unstarted.length > 0) await driver?.release?.(partition.assignment, unstarted)
    }
  }

  /** A partition may have become quiet. */
  idle(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const wake of waiting) wake()
  }

  async #quiet(partitions: readonly PartitionState[]): Promise<void> {
    while (partitions.some((partition) => partition.busy && partition.phase !== 'closed')) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }
}

/** Messages that were running at the end of a clean shutdown or rebalance have crashed no process. Never rejects. */
async function noteEnds(
  { assignment }: PartitionState,
  deliveries: readonly Delivery[],
  driver: ConsumerDriver | undefined,
): Promise<void> {
  const note = async (delivery: Delivery): Promise<void> =>
    driver?.attempts?.failed(assignment, delivery, noteOf(delivery.attempt - 1, false))
  await Promise.allSettled(deliveries.map(note))
}

/** Aborts running handlers and dead letters in flight: the partition is no longer this loop's. */
export function abortHandlers(partition: PartitionState, reason: string): void {
  const { topic } = partition.assignment
  partition.leaving.abort()
  partition.gone.abort()
  for (const delivery of [...partition.handling()]) {
    const message = `message ${delivery.id} is no longer assigned to this loop: ${reason}`
    delivery.abort(new StreamError(message, { code: 'ABORTED', retryable: false, topic, operation: 'handle' }))
  }
}

/** True when it is held by this member and not done. */
export function isUnsettled(delivery: Delivery): boolean {
  return delivery.state < DeliveryState.Settled
}
