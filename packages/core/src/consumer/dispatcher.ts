import type { ConsumerDriver } from '../contract/consumer-driver.js'
import { Deque } from '../deque.js'
import { StreamError } from '../errors.js'
import type { Handler } from '../message.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { HandlerBatches } from './handler-batches.js'
import { isGenerator } from './handler-outputs.js'
import type { PartitionState } from './partition-state.js'

export interface DispatcherHost {
  readonly ordering: 'key' | 'none'
  readonly manualAck: boolean
  /** `attempts`: most starts of a message. */
  readonly retry: { readonly attempts: number }
  driver(): ConsumerDriver | undefined
  /** Decodes the value, once: throws, or returns a promise where the schema is asynchronous. */
  decode(delivery: Delivery): Promise<void> | undefined
  /** Runs a generator that the handler returned to its end. */
  runGenerator(delivery: Delivery, generator: AsyncGenerator | Generator): Promise<unknown>
  /** A start was taken back: what was claimed for it is free. */
  takenBack(delivery: Delivery): void
  /** The handler has succeeded (or the message was acked): settle it. */
  succeeded(delivery: Delivery, partition: PartitionState): void
  /** The attempt has failed: retry, dead-letter or give up. `final`: no other attempt can help. */
  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void
  /** A handler ended after its message had been given up: it ran at the same time as another start of the message. */
  overlapped(delivery: Delivery, error: unknown): void
  /** A driver waits for room in the partition, and a message has left its inbox. */
  inboxShrank(partition: PartitionState): void
  /** Resolves when what is done in the partition is settled, or the partition is gone. Never rejects. */
  settle(partition: PartitionState): Promise<void>
  /** Nothing runs in the partition any more. */
  idle(partition: PartitionState): void
}

/**
 * Starts handlers: up to `concurrency` at once, messages of one key one after the other, partitions in turn. The hot path of
 * consuming: a message without a promise from its handler costs no promise, no closure and no object here.
 */
export class Dispatcher {
  readonly #host: DispatcherHost
  readonly #partitions: PartitionState[] = []
  /** May start now, before anything from an inbox: the next of a key, or a retry that is due. */
  readonly #startable = new Deque<Delivery>()
  #handler: Handler | undefined
  #batches: HandlerBatches | undefined
  #limit = 0
  #running = 0
  #turn = 0
  #dispatching = false
  #again = false
  /** The sweep's clock. */
  tick = 0

  constructor(host: DispatcherHost) {
    this.#host = host
  }

  get running(): number {
    return this.#running
  }

  /** Handlers are started from now on, at most `limit` at once; with `batches` that many batches. */
  start(handler: Handler, limit: number, batches?: HandlerBatches): void {
    this.#handler = handler
    this.#limit = limit
    this.#batches = batches
    batches?.attach(this)
    this.dispatch()
  }

  /** Nothing more is started; what runs goes on, and what has gathered for a batch with it. */
  stop(): void {
    this.#handler = undefined
    this.hurry()
  }

  /** What has gathered for a batch waits for no more. */
  hurry(): void {
    this.#batches?.close()
  }

  get started(): boolean {
    return this.#handler !== undefined
  }

  /** Another message may be started. */
  get hasRoom(): boolean {
    return this.#batches === undefined ? this.#running < this.#limit : this.#batches.hasRoom(this.#limit)
  }

  get ordered(): boolean {
    return this.#host.ordering === 'key'
  }

  add(partition: PartitionState): void {
    this.#partitions.push(partition)
  }

  remove(partition: PartitionState): void {
    const index = this.#partitions.indexOf(partition)
    if (index >= 0) this.#partitions.splice(index, 1)
  }

  /** Starts whatever may start. */
  dispatch(): void {
    if (this.#dispatching) {
      this.#again = true
      return
    }
    this.#dispatching = true
    do {
      this.#again = false
      while (this.#handler !== undefined && this.hasRoom) {
        const delivery = this.#next()
        if (delivery === undefined) break
        if (this.#batches === undefined) this.#start(delivery, delivery.partitionState as PartitionState)
        else this.#startInBatch(delivery, this.#batches)
      }
    } while (this.#again)
    this.#dispatching = false
  }

  /** A retry is due. */
  restart(delivery: Delivery, partition: PartitionState): void {
    if (delivery.state !== DeliveryState.Retrying) return
    partition.retrying -= 1
    delivery.state = DeliveryState.Waiting
    if (partition.phase === 'open') this.#startable.push(delivery)
    else this.#quiet(partition)
    this.dispatch()
  }

  /** Ends a {@link suspend} without another start. False where the message is no longer this member's to settle. */
  resume(delivery: Delivery, partition: PartitionState): boolean {
    if (delivery.state !== DeliveryState.Retrying) return false
    partition.retrying -= 1
    delivery.state = DeliveryState.Waiting
    if (partition.phase === 'open') return true
    this.#quiet(partition)
    return false
  }

  /** The attempt is over and the message waits to be started again: its slot is free, its key is not. */
  suspend(delivery: Delivery, partition: PartitionState): void {
    delivery.state = DeliveryState.Retrying
    partition.retrying += 1
  }

  /** The message is done with: its key goes on with the next one. */
  release(delivery: Delivery, partition: PartitionState): void {
    if (delivery.suspect) void this.#endExclusive(partition)
    if (delivery.key !== undefined && this.#host.ordering === 'key') {
      const next = delivery.nextOfKey
      delivery.nextOfKey = undefined
      if (next !== undefined) this.#startable.push(next)
      else if (partition.keyTails.get(delivery.key) === delivery) partition.keyTails.delete(delivery.key)
    }
    this.dispatch()
  }

  /**
   * Others may start again, once it is on record that the suspect is done: were the next one to end the process before that, the start
   * that is noted of this one would count as a crash of its own.
   */
  async #endExclusive(partition: PartitionState): Promise<void> {
    await this.#host.settle(partition)
    partition.exclusive = false
    this.dispatch()
  }

  /**
   * Its handler has settled it and may be waiting for the ack, which can't come before that of an earlier message. It must not keep
   * the slot that the earlier one may need, nor a handover.
   */
  fallBehind(delivery: Delivery, partition: PartitionState): void {
    partition.fellBehind(delivery)
    if (!delivery.slotless) this.#running -= 1
    delivery.slotless = true
    this.#quiet(partition)
    this.dispatch()
  }

  /** Ends the bookkeeping of a start whose handler will not be waited for any longer. */
  leaveBehind(delivery: Delivery, partition: PartitionState): void {
    if (!delivery.handling) return
    delivery.handling = false
    delivery.run += 1
    this.#freeSlot(delivery, partition)
    this.#batches?.left(delivery, false)
  }

  /** Takes a start back without a verdict, as if it had never been: the message waits behind another of its key. */
  putBack(delivery: Delivery, partition: PartitionState, behind: Delivery | undefined): void {
    if (!delivery.handling) return
    delivery.handling = false
    delivery.unstart()
    delivery.run += 1
    delivery.nacked = undefined
    delivery.timedOut = false
    this.#host.takenBack(delivery)
    this.#freeSlot(delivery, partition)
    if (delivery.state === DeliveryState.Running) {
      delivery.state = DeliveryState.Waiting
      if (behind !== undefined) behind.nextOfKey = delivery
    }
    this.#quiet(partition)
  }

  #startInBatch(delivery: Delivery, batches: HandlerBatches): void {
    if (!batches.admits(delivery)) {
      this.#startable.unshift(delivery)
      return batches.close()
    }
    this.#start(delivery, delivery.partitionState as PartitionState)
    const follower = delivery.nextOfKey
    // The next of its key may sit in the same batch.
    if (follower === undefined || this.#handler === undefined || !batches.takesNextOf(delivery)) return
    delivery.nextOfKey = undefined
    this.#startable.unshift(follower)
  }

  #next(): Delivery | undefined {
    for (let delivery = this.#startable.shift(); delivery !== undefined; delivery = this.#startable.shift()) {
      if (delivery.state === DeliveryState.Waiting && delivery.partitionState?.phase === 'open') return delivery
    }
    for (let tried = 0; tried < this.#partitions.length; tried += 1) {
      this.#turn = (this.#turn + 1) % this.#partitions.length
      const partition = this.#partitions[this.#turn]
      const delivery = partition === undefined ? undefined : this.#take(partition)
      if (delivery !== undefined) return delivery
    }
    return undefined
  }

  /** The next message of a partition's inbox that may start. Those whose key is at work line up behind it. */
  #take(partition: PartitionState): Delivery | undefined {
    if (partition.phase !== 'open' || partition.exclusive || partition.held) return undefined
    const ordered = this.#host.ordering === 'key'
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
      if (!ordered || head.key === undefined) return head
      const tail = partition.keyTails.get(head.key)
      partition.keyTails.set(head.key, head)
      if (tail === undefined || this.#batches?.takesNextOf(tail) === true) return head
      tail.nextOfKey = head
    }
    return undefined
  }

  #start(delivery: Delivery, partition: PartitionState): void {
    this.#running += 1
    partition.running += 1
    if (partition.wantsRoom) this.#host.inboxShrank(partition)
    delivery.state = DeliveryState.Running
    delivery.handling = true
    delivery.attempt += 1
    delivery.run += 1
    delivery.startedTick = this.tick
    if (delivery.attempt > 1) {
      delivery.renewSignal()
      delivery.timedOut = false
      delivery.nacked = undefined
    }
    this.#batches?.join(delivery, partition)
    const journal = delivery.suspect ? this.#host.driver()?.attempts : undefined
    if (journal === undefined) return this.#decode(delivery, partition)
    const run = delivery.run
    if (delivery.attempt > this.#host.retry.attempts) {
      // Every start it had is on record, and each has ended with the death of its process: one more would end this one.
      delivery.attempt -= 1
      return this.#ended(delivery, partition, run, fatal(delivery), true)
    }
    journal.starting(partition.assignment, delivery, delivery.attempt).then(
      () => {
        if (delivery.run === run) this.#decode(delivery, partition)
      },
      (error: unknown) => this.#ended(delivery, partition, run, error, false),
    )
  }

  #decode(delivery: Delivery, partition: PartitionState): void {
    if (delivery.decoded) return this.#handle(delivery, partition)
    const run = delivery.run
    let pending: Promise<void> | undefined
    try {
      pending = this.#host.decode(delivery)
    } catch (error) {
      return this.#ended(delivery, partition, run, error, true)
    }
    if (pending === undefined) return this.#handle(delivery, partition)
    pending.then(
      () => {
        if (delivery.run === run) this.#handle(delivery, partition)
      },
      (error: unknown) => this.#ended(delivery, partition, run, error, true),
    )
  }

  #handle(delivery: Delivery, partition: PartitionState): void {
    const handler = this.#handler
    // Paused or closing since the start, while the journal or the schema was asked: no handler is no success.
    if (handler === undefined) return this.#unstart(delivery, partition)
    const run = delivery.run
    let result: unknown
    try {
      result = handler(delivery)
    } catch (error) {
      return this.#ended(delivery, partition, run, error, false)
    }
    if (typeof result !== 'object' || result === null) return this.#returned(delivery, partition, run)
    if (isPromiseLike(result)) return this.#settleWith(result, delivery, partition, run)
    if (!isGenerator(result)) return this.#returned(delivery, partition, run)
    this.#settleWith(this.#host.runGenerator(delivery, result), delivery, partition, run)
  }

  #settleWith(result: PromiseLike<unknown>, delivery: Delivery, partition: PartitionState, run: number): void {
    result.then(
      (value) => {
        // An `async` function around a generator: nothing of it has run yet.
        if (typeof value === 'object' && isGenerator(value))
          this.#settleWith(this.#host.runGenerator(delivery, value), delivery, partition, run)
        else this.#returned(delivery, partition, run)
      },
      (error: unknown) => this.#ended(delivery, partition, run, error, false),
    )
  }

  /** Takes a start back whose handler was never called. */
  #unstart(delivery: Delivery, partition: PartitionState): void {
    delivery.handling = false
    delivery.attempt -= 1
    this.#freeSlot(delivery, partition)
    this.#batches?.left(delivery, true)
    if (delivery.state === DeliveryState.Running) {
      delivery.state = DeliveryState.Waiting
      this.#startable.unshift(delivery)
    }
    this.#quiet(partition)
    this.dispatch()
  }

  #returned(delivery: Delivery, partition: PartitionState, run: number): void {
    if (!this.#close(delivery, partition, run, undefined)) return
    if (delivery.state === DeliveryState.Running) {
      if (delivery.timedOut) this.#host.failed(delivery, partition, delivery.signal.reason, false)
      else if (delivery.nacked !== undefined) this.#host.failed(delivery, partition, delivery.nacked.reason, false)
      // Manual: the message stays unsettled, and its key waits, until ack() or nack().
      else if (!this.#host.manualAck) this.#host.succeeded(delivery, partition)
    } else if (isSettled(delivery)) this.release(delivery, partition)
    this.#quiet(partition)
    this.dispatch()
  }

  #ended(delivery: Delivery, partition: PartitionState, run: number, error: unknown, final: boolean): void {
    if (!this.#close(delivery, partition, run, error)) return
    if (delivery.state === DeliveryState.Running) this.#host.failed(delivery, partition, error, final)
    else if (isSettled(delivery)) {
      this.#host.overlapped(delivery, error)
      this.release(delivery, partition)
    }
    this.#quiet(partition)
    this.dispatch()
  }

  /** Frees the slot of a start that has ended. False when it had been left behind, or its partition is gone. */
  #close(delivery: Delivery, partition: PartitionState, run: number, error: unknown): boolean {
    if (delivery.run !== run || !delivery.handling) {
      this.#host.overlapped(delivery, error)
      return false
    }
    delivery.handling = false
    this.#freeSlot(delivery, partition)
    this.#batches?.left(delivery, true)
    if (partition.phase !== 'closed') return true
    this.#host.overlapped(delivery, error)
    this.#quiet(partition)
    this.dispatch()
    return false
  }

  #freeSlot(delivery: Delivery, partition: PartitionState): void {
    partition.running -= 1
    if (delivery.behind) partition.caughtUp(delivery)
    if (delivery.slotless) delivery.slotless = false
    else this.#running -= 1
  }

  #quiet(partition: PartitionState): void {
    if (!partition.busy) this.#host.idle(partition)
  }
}

function fatal(delivery: Delivery): StreamError {
  return new StreamError(`message ${delivery.id} was at work alone ${delivery.attempt} times when the process died`, {
    code: 'ABORTED',
    retryable: false,
    topic: delivery.topic,
    operation: 'handle',
  })
}

/** Settled by `ack()` while its handler was still at work. */
function isSettled(delivery: Delivery): boolean {
  return delivery.state === DeliveryState.Settled || delivery.state === DeliveryState.Acked
}

export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}
