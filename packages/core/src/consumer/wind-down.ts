import { atMost } from '../at-most.js'
import type { ConsumerDriver } from '../contract/consumer-driver.js'
import { StreamError } from '../errors.js'
import { noteOf } from './attempt-notes.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'
import type { Settler } from './settler.js'

/** Acks get at least this long after the handlers have ended, in milliseconds. */
const SETTLE_MS = 500

/** Brings the work on partitions to an end that loses nothing: for a close, and for handing them over. */
export class WindDown {
  readonly #settler: Settler
  readonly #beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>
  #waiting: (() => void)[] = []

  /** @param beforeLeaving - runs once the handlers have ended, while acks still count; may take what is left of the time. */
  constructor(settler: Settler, beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>) {
    this.#settler = settler
    this.#beforeLeaving = beforeLeaving
  }

  /** Nothing new is started in the partition, and its driver no longer waits for room. */
  begin(partition: PartitionState): void {
    if (partition.phase === 'open') partition.phase = 'draining'
    partition.leaving.abort()
    partition.wakeRoomWaiters()
  }

  /**
   * Lets handlers end for up to `timeoutMs`, or until `hurry` aborts, then aborts their signals for `reason`; flushes acks;
   * gives back what was not started. Never rejects.
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

/** What was at work until the end of a clean stop or of a hand-over has ended no process. Never rejects. */
async function noteEnds(
  { assignment }: PartitionState,
  deliveries: readonly Delivery[],
  driver: ConsumerDriver | undefined,
): Promise<void> {
  const note = async (delivery: Delivery): Promise<void> =>
    driver?.attempts?.failed(assignment, delivery, noteOf(delivery.attempt - 1, false))
  await Promise.allSettled(deliveries.map(note))
}

/** Tells running handlers, and dead letters on their way, that the partition is no longer this loop's. */
export function abortHandlers(partition: PartitionState, reason: string): void {
  const { topic } = partition.assignment
  partition.leaving.abort()
  partition.gone.abort()
  for (const delivery of [...partition.handling()]) {
    const message = `message ${delivery.id} is no longer this loop's: ${reason}`
    delivery.abort(new StreamError(message, { code: 'ABORTED', retryable: false, topic, operation: 'handle' }))
  }
}

/** In this member's hands, and not done. */
export function isUnsettled(delivery: Delivery): boolean {
  return delivery.state < DeliveryState.Settled
}
