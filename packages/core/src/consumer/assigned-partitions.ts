import type { ConsumerDriver, PartitionAssignment } from '../contract/consumer-driver.js'
import { Acknowledgements } from './acknowledgements.js'
import type { ConsumerReports } from './consumer-reports.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { DriverSlot } from './driver-slot.js'
import type { Inbox } from './inbox.js'
import type { Outcomes } from './outcomes.js'
import type { PartitionHooks } from './partition-hooks.js'
import { PartitionState } from './partition-state.js'
import { goneError } from './settler.js'
import type { StallWatch } from './stall-watch.js'
import type { StoppedPartitions } from './stopped-partitions.js'
import { abortHandlers, isUnsettled } from './wind-down.js'

/**
 * Maximum wait for running handlers when a partition is handed over, unless the driver allows less, in milliseconds.
 */
export const REVOCATION_MS = 10_000

const TAKEN_AWAY = 'its partition was revoked'

export interface AssignedPartitionsSettings {
  /** The loop's own group: messages addressed to another group are settled without being handled. */
  readonly group: string
  readonly outcomes: Outcomes
  readonly inbox: Inbox
  readonly slot: DriverSlot
  readonly hooks: PartitionHooks
  readonly reports: ConsumerReports
  readonly stallWatch: Pick<StallWatch, 'delivered'>
  readonly stopped: StoppedPartitions
}

/**
 * The partitions assigned to this member. The driver assigns them, delivers to them and revokes them (see
 * `ConsumerSink`).
 */
export class AssignedPartitions {
  readonly #settings: AssignedPartitionsSettings
  readonly #acknowledgements: Acknowledgements
  readonly #partitions = new Map<PartitionAssignment, PartitionState>()
  #draining = false

  constructor(settings: AssignedPartitionsSettings) {
    this.#settings = settings
    this.#acknowledgements = new Acknowledgements(settings.outcomes)
  }

  get assignments(): PartitionAssignment[] {
    return [...this.#partitions.keys()]
  }

  all(): Iterable<PartitionState> {
    return this.#partitions.values()
  }

  /** Starts nothing that arrives from now on: the loop is closing. */
  drain(): void {
    this.#draining = true
  }

  /** Releases drivers that wait for room: nothing is accepted any more. */
  stopWaiting(): void {
    for (const partition of this.#partitions.values()) partition.wakeRoomWaiters()
  }

  assign(assignments: readonly PartitionAssignment[]): void {
    const { outcomes, hooks, reports } = this.#settings
    const partitions = assignments.map((assignment) => new PartitionState(assignment, this.#acknowledgements))
    for (const partition of partitions) {
      if (this.#draining) partition.phase = 'draining'
      this.#partitions.set(partition.assignment, partition)
      outcomes.dispatcher.add(partition)
    }
    hooks.assigned(partitions)
    reports.assigned(assignments)
  }

  /**
   * Resolves once the partitions are released: with `graceful` after their handlers have ended, after `deadlineMs` at
   * the latest.
   */
  async revoke(
    assignments: readonly PartitionAssignment[],
    how: 'graceful' | 'lost',
    deadlineMs: number,
  ): Promise<void> {
    const { outcomes, slot, hooks, reports } = this.#settings
    const partitions = assignments
      .map((assignment) => this.#partitions.get(assignment))
      .filter((partition) => partition !== undefined)
    if (partitions.length === 0) return
    if (how === 'graceful') {
      const ended = outcomes.windDown.finish(partitions, deadlineMs, TAKEN_AWAY, slot.driver)
      for (const partition of partitions) {
        outcomes.giveBack(partition)
        // What is alone in it stays so for as long as its handler is waited for.
        outcomes.dispatcher.isolation.notWaiting(partition)
      }
      outcomes.dispatcher.hurry()
      await ended
    }
    // The connection may have been lost during a handover: then the loss has already been reported.
    if (how === 'lost') for (const partition of partitions) this.#atWork(partition)
    const closed = partitions.filter((partition) => this.#close(partition))
    if (closed.length === 0) return
    if (how === 'lost') void hooks.revoked(closed, 'lost')
    reports.revoked(assignments, how)
  }

  /**
   * Accepts deliveries. Returns a promise that the driver must await before it delivers more, or `undefined` when there
   * is room.
   */
  deliver(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined {
    const { outcomes, inbox, group, reports, stallWatch } = this.#settings
    const partition = this.#partitions.get(assignment)
    if (partition === undefined || partition.phase !== 'open') return undefined
    reports.counts.received += deliveries.length
    partition.received += deliveries.length
    stallWatch.delivered(assignment)
    inbox.add(partition, deliveries)
    outcomes.dispatcher.isolation.delivered(group, deliveries)
    for (const delivery of deliveries) {
      const { onlyGroup } = delivery
      if (delivery.headersLeftOut > 0) reports.headersLeftOut(delivery)
      if (onlyGroup !== undefined && onlyGroup !== group) outcomes.disposeUnseen(delivery, partition)
    }
    outcomes.dispatcher.dispatch()
    if (this.#draining || inbox.capacity(partition) > 0) return undefined
    if (!partition.pausedReported && inbox.isStalled(partition)) {
      partition.pausedReported = true
      reports.windowFull(partition)
    }
    return partition.whenRoom()
  }

  /** How many more deliveries fit. */
  capacity(assignment: PartitionAssignment): number {
    const partition = this.#partitions.get(assignment)
    return partition === undefined ? 0 : this.#settings.inbox.capacity(partition)
  }

  /** Finishes all running work and releases all partitions: see `WindDown.finish`. */
  async close(timeoutMs: number, driver: ConsumerDriver | undefined, hurry: AbortSignal | undefined): Promise<void> {
    const { outcomes } = this.#settings
    const partitions = [...this.#partitions.values()]
    const reason = `the loop closed and its deadline of ${timeoutMs} ms has passed`
    await outcomes.windDown.finish(partitions, timeoutMs, reason, driver, hurry)
    for (const partition of partitions) this.#close(partition)
  }

  /**
   * Messages that were running in a partition that is lost: with a blocked event loop, one of them may be the cause.
   */
  #atWork(partition: PartitionState): void {
    const { outcomes, group } = this.#settings
    if (partition.phase === 'closed') return
    const isAtWork = ({ state, handling, attempt }: Delivery): boolean =>
      handling || (state === DeliveryState.Settled && attempt > 0)
    const unacked = [...partition.done, ...partition.tracked, ...outcomes.settler.onTheirWay(partition)]
    outcomes.dispatcher.isolation.lost(group, new Set(unacked.filter(isAtWork)))
  }

  /** Removes a partition and everything in it. Returns false when that was done before. */
  #close(partition: PartitionState): boolean {
    const { outcomes, inbox, stopped } = this.#settings
    if (partition.phase === 'closed') return false
    partition.phase = 'closed'
    stopped.forget(partition.assignment)
    partition.over.abort()
    this.#partitions.delete(partition.assignment)
    outcomes.dispatcher.remove(partition)
    outcomes.dispatcher.isolation.forget(partition)
    outcomes.giveBack(partition)
    abortHandlers(partition, TAKEN_AWAY)
    for (const delivery of partition.tracked) {
      inbox.remove(delivery)
      if (isUnsettled(delivery)) outcomes.lost(delivery, partition)
    }
    outcomes.settler.discard(partition, goneError(partition))
    partition.wakeRoomWaiters()
    outcomes.idle(partition)
    return true
  }
}
