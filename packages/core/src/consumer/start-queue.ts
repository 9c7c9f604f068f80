import { Deque } from '../deque.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { HandlerBatches } from './handler-batches.js'
import { type IsolatedLoop, processIsolation } from './isolation.js'
import type { PartitionState } from './partition-state.js'

/**
 * Selects the next message to start: the next of a key and due retries, then the partitions' inboxes in turn. Keeps the
 * messages of one key in order, and lets a message that must run alone wait for that.
 */
export class StartQueue {
  readonly #ordered: boolean
  readonly #partitions: PartitionState[] = []
  /** May start now, before any message from an inbox. */
  readonly #startable = new Deque<Delivery>()
  readonly #isolation = processIsolation()
  readonly #loop: IsolatedLoop
  #turn = 0

  constructor(ordered: boolean, loop: IsolatedLoop) {
    this.#ordered = ordered
    this.#loop = loop
  }

  /** Number of running handlers in its partitions, except those that only wait for their ack. */
  get atWork(): number {
    return this.#partitions.reduce((sum, { running, behind }) => sum + running - behind, 0)
  }

  add(partition: PartitionState): void {
    this.#partitions.push(partition)
  }

  remove(partition: PartitionState): void {
    const index = this.#partitions.indexOf(partition)
    if (index >= 0) this.#partitions.splice(index, 1)
  }

  /** The message may start, after others that are ready. */
  push(delivery: Delivery): void {
    this.#startable.push(delivery)
  }

  /** The message is the first to start. */
  unshift(delivery: Delivery): void {
    this.#startable.unshift(delivery)
  }

  /**
   * Removes and returns the message that starts next. @param batches - allows the next of a key to join the one before
   * it.
   */
  next(batches: HandlerBatches | undefined): Delivery | undefined {
    for (let delivery = this.#startable.peek(); delivery !== undefined; delivery = this.#startable.peek()) {
      const partition = delivery.partitionState
      if (delivery.state !== DeliveryState.Waiting || partition?.phase !== 'open') {
        this.#startable.shift()
        continue
      }
      if (delivery.isolated && !this.#isolation.admits(delivery, partition, this.#loop)) return undefined
      if (!delivery.isolated && this.#isolation.active) break
      this.#startable.shift()
      return delivery
    }
    for (let tried = 0; tried < this.#partitions.length; tried += 1) {
      this.#turn = (this.#turn + 1) % this.#partitions.length
      const partition = this.#partitions[this.#turn]
      const delivery = partition === undefined ? undefined : this.#take(partition, batches)
      if (delivery !== undefined) return delivery
    }
    return undefined
  }

  /**
   * Returns messages that will start next, except those that must run alone. Changes nothing.
   *
   * @param most - approximate maximum, for each running key and for all inboxes.
   * @param started - messages running or done by now, whose keys' next messages are included.
   */
  upcoming(most: number, started: readonly Delivery[]): Delivery[] {
    const found: Delivery[] = []
    for (const { nextOfKey, partitionState } of started) {
      if (nextOfKey === undefined || partitionState === undefined || !mayStart(partitionState)) continue
      let next: Delivery | undefined = nextOfKey
      for (let count = 0; next !== undefined && count < most; count += 1) {
        found.push(next)
        next = next.nextOfKey
      }
    }
    const open = this.#partitions.filter((partition) => mayStart(partition) && partition.inbox.length > 0)
    const share = Math.ceil(most / open.length)
    for (const { inbox } of open) {
      for (let index = 0; index < share; index += 1) {
        const delivery = inbox.at(index)
        if (delivery === undefined || delivery.isolated) break
        if (delivery.state === DeliveryState.Waiting) found.push(delivery)
      }
    }
    return found
  }

  /** The message is finished: the next of its key may start. */
  release(delivery: Delivery, partition: PartitionState): void {
    if (!this.#ordered || delivery.key === undefined) return
    const next = delivery.nextOfKey
    delivery.nextOfKey = undefined
    if (next !== undefined) this.#startable.push(next)
    else if (partition.keyTails.get(delivery.key) === delivery) partition.keyTails.delete(delivery.key)
  }

  /**
   * True when a message may leave its inbox while one runs alone in the process, or when it must run alone itself.
   * Behind another of its key it doesn't start yet.
   */
  #mayLeave(head: Delivery, partition: PartitionState, tail: Delivery | undefined): boolean {
    if (head.isolated) return tail !== undefined || this.#isolation.admits(head, partition, this.#loop)
    this.#isolation.notWaiting(partition)
    return !this.#isolation.active
  }

  /** Returns the next message of a partition's inbox that may start. Those whose key is running queue behind it. */
  #take(partition: PartitionState, batches: HandlerBatches | undefined): Delivery | undefined {
    if (!mayStart(partition)) return undefined
    for (let head = partition.inbox.peek(); head !== undefined; head = partition.inbox.peek()) {
      if (head.state !== DeliveryState.Waiting) {
        // Settled before its start: it was addressed to another group.
        partition.inbox.shift()
        continue
      }
      const tail = this.#ordered && head.key !== undefined ? partition.keyTails.get(head.key) : undefined
      if ((this.#isolation.active || head.isolated) && !this.#mayLeave(head, partition, tail)) return undefined
      partition.inbox.shift()
      if (!this.#ordered || head.key === undefined) return head
      partition.keyTails.set(head.key, head)
      if (tail === undefined || batches?.takesNextOf(tail) === true) return head
      tail.nextOfKey = head
    }
    return undefined
  }
}

function mayStart(partition: PartitionState): boolean {
  return partition.phase === 'open' && !partition.held
}
