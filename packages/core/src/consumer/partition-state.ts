import { setMaxListeners } from 'node:events'
import type { PartitionAssignment } from '../contract/consumer-driver.js'
import { Deque } from '../deque.js'
import { type Delivery, DeliveryState } from './delivery.js'

/** Implements `ack()`, `nack()` and `respond()` of a partition's deliveries. */
export interface PartitionOwner {
  acknowledge(delivery: Delivery, partition: PartitionState): Promise<void>
  negativeAcknowledge(delivery: Delivery, partition: PartitionState, reason: unknown): Promise<void>
  respond(delivery: Delivery, part: unknown): Promise<void>
}

export interface PartitionLimits {
  readonly prefetch: number
  readonly maxAheadMessages: number
}

/** One assigned partition: its inbox, its active keys, and what can be settled. */
export class PartitionState {
  readonly assignment: PartitionAssignment
  readonly owner: PartitionOwner
  /** Delivered, not yet seen by the dispatcher. */
  readonly inbox = new Deque<Delivery>()
  /** Unsettled, in delivery order; settled ones are removed once they are at the head. */
  readonly tracked = new Deque<Delivery>()
  /** Settled by their handlers, which are still running. */
  readonly outlasting = new Set<Delivery>()
  /** The last message of each key that is running, retrying or waiting for its predecessor. */
  readonly keyTails = new Map<string, Delivery>()
  /** open`: active. `draining`: starts nothing new. `closed`: everything in it is dropped. */
  phase: 'open' | 'draining' | 'closed' = 'open'
  /** Deliveries so far. */
  received = 0
  running = 0
  /** Number of handlers that have settled their message and may wait for an ack that an earlier message blocks. */
  behind = 0
  retrying = 0
  /** Dead letters in flight. */
  deadLettering = 0
  /** Completions of finished messages in flight to the dedupe store. */
  marking = 0
  /** Nothing is started yet: the user's `onAssigned` is running. */
  held = false
  /** Settles with `onAssigned`. */
  ready: Promise<void> | undefined = undefined
  /** Set while the window of `maxAheadMessages` is full, so that it is reported once. */
  pausedReported = false
  /**
   * What can be settled: with individual settlement everything done, with cumulative settlement its contiguous prefix.
   */
  done: Delivery[] = []
  /** Aborts when the revocation of the partition begins: nothing new is started. */
  readonly leaving = new AbortController()
  /** Aborts when the partition is released, or a close runs out of time. */
  readonly gone = new AbortController()
  /** Aborts when the partition is closed. */
  readonly over = new AbortController()
  #roomWaiters: (() => void)[] = []

  constructor(assignment: PartitionAssignment, owner: PartitionOwner) {
    // Every dead letter in flight waits for them: Node.js would report more than ten listeners as a leak.
    setMaxListeners(0, this.leaving.signal, this.gone.signal, this.over.signal)
    this.assignment = assignment
    this.owner = owner
  }

  /** How many more deliveries fit. */
  capacity(limits: PartitionLimits): number {
    if (this.phase !== 'open') return 0
    return Math.max(0, Math.min(limits.prefetch - this.inbox.length, limits.maxAheadMessages - this.tracked.length))
  }

  whenRoom(): Promise<void> {
    return new Promise((resolve) => this.#roomWaiters.push(resolve))
  }

  wakeRoomWaiters(): void {
    if (this.#roomWaiters.length === 0) return
    const waiters = this.#roomWaiters
    this.#roomWaiters = []
    for (const wake of waiters) wake()
  }

  get wantsRoom(): boolean {
    return this.#roomWaiters.length > 0
  }

  /**
   * Marks a delivery as done: it joins what can be settled, and the window advances. Returns whether an earlier one
   * blocks its ack.
   */
  settle(delivery: Delivery, settlement: 'individual' | 'cumulative'): boolean {
    delivery.state = DeliveryState.Settled
    if (settlement === 'individual') this.done.push(delivery)
    const before = this.tracked.length
    for (let head = this.tracked.peek(); head !== undefined && hasLeft(head); head = this.tracked.peek()) {
      if (settlement === 'cumulative') {
        // Given up, not done: it is redelivered, and no commit may cover it.
        if (head.state === DeliveryState.Dropped) break
        this.done.push(head)
      }
      if (head.behind) this.caughtUp(head)
      this.tracked.shift()
    }
    return settlement === 'cumulative' && this.tracked.length === before
  }

  fellBehind(delivery: Delivery): void {
    delivery.behind = true
    this.behind += 1
  }

  caughtUp(delivery: Delivery): void {
    delivery.behind = false
    this.behind -= 1
  }

  /** Messages whose handlers are running, settled or not. */
  *handling(): Generator<Delivery> {
    for (const delivery of this.tracked) if (delivery.handling && !this.outlasting.has(delivery)) yield delivery
    yield* this.outlasting
  }

  /** Advances the window past deliveries that were returned to their sender. */
  forgetDropped(): void {
    for (let head = this.tracked.peek(); head !== undefined && hasLeft(head); head = this.tracked.peek())
      this.tracked.shift()
  }

  /** A handler is running, or a dead letter or a completion is in flight: what a clean stop waits for. */
  get busy(): boolean {
    return this.running > this.behind || this.deadLettering > 0 || this.marking > 0
  }
}

function hasLeft(delivery: Delivery): boolean {
  return delivery.state >= DeliveryState.Settled
}
