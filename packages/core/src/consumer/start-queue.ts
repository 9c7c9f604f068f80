import { Deque } from '../deque.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { HandlerBatches } from './handler-batches.js'
import type { PartitionState } from './partition-state.js'

/**
 * What may be started next: the next of a key and retries that are due, then the partitions' inboxes in turn. Keeps the messages of
 * one key in line, and a suspect alone in its partition.
 */
export class StartQueue {
  readonly #ordered: boolean
  readonly #partitions: PartitionState[] = []
  /** May start now, before anything from an inbox. */
  readonly #startable = new Deque<Delivery>()
  #turn = 0

  constructor(ordered: boolean) {
    this.#ordered = ordered
  }

  add(partition: PartitionState): void {
    this.#partitions.push(partition)
  }

  remove(partition: PartitionState): void {
    const index = this.#partitions.indexOf(partition)
    if (index >= 0) this.#partitions.splice(index, 1)
  }

  /** The message may start, after others that may. */
  push(delivery: Delivery): void {
    this.#startable.push(delivery)
  }

  /** The message is the first to start. */
  unshift(delivery: Delivery): void {
    this.#startable.unshift(delivery)
  }

  /** Takes the message out that starts next. @param batches - where the next of a key may join the one before it. */
  next(batches: HandlerBatches | undefined): Delivery | undefined {
    for (let delivery = this.#startable.shift(); delivery !== undefined; delivery = this.#startable.shift()) {
      if (delivery.state === DeliveryState.Waiting && delivery.partitionState?.phase === 'open') return delivery
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
   * What is to start next, not what has to be alone. Changes nothing.
   *
   * @param most - about how many, of each key that is at work and of all inboxes.
   * @param started - messages at work or done by now, whose keys' next ones are looked for.
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
        if (delivery === undefined || delivery.suspect) break
        if (delivery.state === DeliveryState.Waiting) found.push(delivery)
      }
    }
    return found
  }

  /** The message is done with: the next of its key may start. */
  release(delivery: Delivery, partition: PartitionState): void {
    if (!this.#ordered || delivery.key === undefined) return
    const next = delivery.nextOfKey
    delivery.nextOfKey = undefined
    if (next !== undefined) this.#startable.push(next)
    else if (partition.keyTails.get(delivery.key) === delivery) partition.keyTails.delete(delivery.key)
  }

  /** The next message of a partition's inbox that may start. Those whose key is at work line up behind it. */
  #take(partition: PartitionState, batches: HandlerBatches | undefined): Delivery | undefined {
    if (!mayStart(partition)) return undefined
    for (let head = partition.inbox.peek(); head !== undefined; head = partition.inbox.peek()) {
      if (head.state !== DeliveryState.Waiting) {
        // Settled before it came to a start: it was another group's.
        partition.inbox.shift()
        continue
      }
      if (head.suspect) {
        if (!partition.idle) return undefined
        partition.exclusive = true
      }
      partition.inbox.shift()
      if (!this.#ordered || head.key === undefined) return head
      const tail = partition.keyTails.get(head.key)
      partition.keyTails.set(head.key, head)
      if (tail === undefined || batches?.takesNextOf(tail) === true) return head
      tail.nextOfKey = head
    }
    return undefined
  }
}

function mayStart(partition: PartitionState): boolean {
  return partition.phase === 'open' && !partition.exclusive && !partition.held
}
