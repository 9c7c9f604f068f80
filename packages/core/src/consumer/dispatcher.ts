import { type Delivery, DeliveryState } from './delivery.js'
import type { DriverSlot } from './driver-slot.js'
import type { HandlerBatches } from './handler-batches.js'
import { HandlerStarts } from './handler-starts.js'
import { type IsolatedLoop, processIsolation } from './isolation.js'
import type { PreparedHandler } from './loop-handler.js'
import type { PartitionState } from './partition-state.js'
import type { Settler } from './settler.js'
import { StartQueue } from './start-queue.js'
import type { ValueDecoder } from './value-decoder.js'

export interface DispatcherSettings {
  readonly group: string
  readonly ordering: 'key' | 'none'
  readonly manualAck: boolean
  /** Maximum number of starts of a message. */
  readonly attempts: number
  readonly decoder: ValueDecoder
  readonly slot: DriverSlot
}

/** The error a handler ended with, which may be `undefined`. */
export interface HandlerFailure {
  readonly error: unknown
}

/** What the dispatcher reports about the messages that it runs. */
export interface DispatcherHost {
  /** A start was taken back: its claim is to be released. */
  takenBack(delivery: Delivery): void
  /** The handler has succeeded (or the message was acked): settle it. */
  succeeded(delivery: Delivery, partition: PartitionState): void
  /** The attempt has failed: retry, dead-letter or give up. `final`: a retry can't help. */
  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void
  /**
   * A handler ended after its message had been given up: it ran concurrently with another start of the message.
   * `failure`: it failed.
   */
  overlapped(delivery: Delivery, failure: HandlerFailure | undefined): void
  /** A message was taken from the inbox of a partition whose driver waits for room. */
  inboxShrank(partition: PartitionState): void
  readonly settler: Pick<Settler, 'drain'>
  /** A handler of the partition has ended. */
  idle(partition: PartitionState): void
}

/**
 * Starts handlers: up to `concurrency` at once, messages of one key one after the other, partitions in turn. The hot
 * path of consuming: a message whose handler returns no promise costs no promise, closure or object here.
 */
export class Dispatcher implements IsolatedLoop {
  readonly #host: DispatcherHost
  readonly #manualAck: boolean
  /** Messages of one key are handled one after the other. */
  readonly ordered: boolean
  readonly #queue: StartQueue
  readonly starts: HandlerStarts
  readonly isolation = processIsolation()
  #prepared: PreparedHandler | undefined
  #batches: HandlerBatches | undefined
  #limit = 0
  #running = 0
  #dispatching = false
  #again = false
  /** The clock of the timeout sweep. */
  tick = 0

  constructor({ group, ordering, manualAck, attempts, decoder, slot }: DispatcherSettings, host: DispatcherHost) {
    this.#host = host
    this.#manualAck = manualAck
    this.ordered = ordering === 'key'
    this.#queue = new StartQueue(this.ordered, this)
    this.starts = new HandlerStarts({ group, attempts, decoder, slot }, this)
  }

  get running(): number {
    return this.#running
  }

  get atWork(): number {
    return this.#queue.atWork
  }

  /** Starts handlers from now on, at most `limit` at once; with batches, that many batches. */
  start(prepared: PreparedHandler, limit: number): void {
    this.#prepared = prepared
    this.#limit = limit
    this.#batches = prepared.batches
    prepared.batches?.attach(this)
    this.isolation.join(this)
    this.dispatch()
  }

  /** Starts nothing more; running handlers continue, with the batches gathered so far. */
  stop(): void {
    this.#prepared = undefined
    this.isolation.leave(this)
    this.hurry()
  }

  /** Gathered batches are handled without further waiting. */
  hurry(): void {
    this.#batches?.close()
  }

  get started(): boolean {
    return this.#prepared !== undefined
  }

  /** The function called for a message; `undefined` while nothing is started. */
  get prepared(): PreparedHandler | undefined {
    return this.#prepared
  }

  /** Another message may be started. */
  get hasRoom(): boolean {
    return this.#batches === undefined ? this.#running < this.#limit : this.#batches.hasRoom(this.#limit)
  }

  add(partition: PartitionState): void {
    this.#queue.add(partition)
  }

  remove(partition: PartitionState): void {
    this.#queue.remove(partition)
  }

  /** The messages to start next: see {@link StartQueue.upcoming}. Empty while nothing may start. */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[] {
    return this.started ? this.#queue.upcoming(most, started) : []
  }

  /** Starts all messages that may start. */
  dispatch(): void {
    if (this.#dispatching) {
      this.#again = true
      return
    }
    this.#dispatching = true
    do {
      this.#again = false
      while (this.#prepared !== undefined && this.hasRoom) {
        const delivery = this.#queue.next(this.#batches)
        if (delivery === undefined) break
        if (this.#batches === undefined) this.#start(delivery, delivery.partitionState as PartitionState)
        else this.#startInBatch(delivery, this.#batches)
      }
    } while (this.#again)
    this.#dispatching = false
  }

  /** A retry is due. */
  restart(delivery: Delivery, partition: PartitionState): void {
    if (this.resume(delivery, partition)) this.#queue.push(delivery)
    this.dispatch()
  }

  /**
   * Ends a {@link suspend} without another start. Returns false when the message is no longer this member's to settle.
   */
  resume(delivery: Delivery, partition: PartitionState): boolean {
    if (delivery.state !== DeliveryState.Retrying) return false
    partition.retrying -= 1
    delivery.state = DeliveryState.Waiting
    if (partition.phase === 'open') return true
    this.#host.idle(partition)
    return false
  }

  /** The attempt is over and the message waits to be started again: its slot is free, its key is blocked. */
  suspend(delivery: Delivery, partition: PartitionState): void {
    delivery.state = DeliveryState.Retrying
    partition.retrying += 1
  }

  /** The message is finished: the next message of its key may start. */
  release(delivery: Delivery, partition: PartitionState): void {
    this.#queue.release(delivery, partition)
    this.dispatch()
  }

  /**
   * Lets others start again, once the outcome is recorded: if one of them ended the process before that, the recorded
   * start of this message would count as its crash.
   */
  async #endIsolation(delivery: Delivery, partition: PartitionState): Promise<void> {
    const { attempt } = delivery
    // It could not be handled just now: its next start must be alone as well, or a crash that it causes would never count.
    const wasTakenBack = (): boolean => delivery.attempt < attempt
    // The outcome of the start that has ended is reported in this turn.
    await Promise.resolve()
    const isWell = isHandled(delivery)
    if (!wasTakenBack()) await this.#host.settler.drain(partition)
    if (wasTakenBack()) delivery.isolated = true
    else if (isWell && isHandled(delivery)) await this.starts.ended(delivery, partition, true)
    await this.#takeIsolationBack(delivery, partition)
  }

  /** Others may start again. Where it is to be alone next time too, its start never came to its handler. */
  async #takeIsolationBack(delivery: Delivery, partition: PartitionState): Promise<void> {
    if (delivery.isolated) await this.starts.takenBack(delivery, partition)
    this.isolation.end(delivery)
  }

  /**
   * Its handler has settled it and may be waiting for the ack, which can't be sent before that of an earlier message.
   * It must not keep the slot that the earlier one may need, nor block a handover.
   */
  fallBehind(delivery: Delivery, partition: PartitionState): void {
    partition.fellBehind(delivery)
    if (!delivery.slotless) this.#running -= 1
    delivery.slotless = true
    if (this.isolation.active) this.isolation.freed()
    this.#host.idle(partition)
    this.dispatch()
  }

  /** Ends the bookkeeping of a start whose handler is abandoned. */
  leaveBehind(delivery: Delivery, partition: PartitionState): void {
    if (!delivery.handling) return
    delivery.handling = false
    delivery.run += 1
    this.#freeSlot(delivery, partition)
    if (delivery.isolated) this.#leaveIsolation(delivery, partition)
    this.#batches?.left(delivery, false)
  }

  /**
   * Takes a start back without an outcome, as if it had never happened: the message waits behind another of its key.
   */
  putBack(delivery: Delivery, partition: PartitionState, behind: Delivery | undefined): void {
    if (!delivery.handling) return
    delivery.handling = false
    delivery.unstart()
    delivery.run += 1
    this.#host.takenBack(delivery)
    this.#freeSlot(delivery, partition)
    void this.#takeIsolationBack(delivery, partition)
    if (delivery.state === DeliveryState.Running) {
      delivery.state = DeliveryState.Waiting
      if (behind !== undefined) behind.nextOfKey = delivery
    }
    this.#host.idle(partition)
  }

  #startInBatch(delivery: Delivery, batches: HandlerBatches): void {
    if (!batches.admits(delivery)) {
      this.#queue.unshift(delivery)
      return batches.close()
    }
    this.#start(delivery, delivery.partitionState as PartitionState)
    const follower = delivery.nextOfKey
    // The next of its key may be in the same batch.
    if (follower === undefined || this.#prepared === undefined || !batches.takesNextOf(delivery)) return
    delivery.nextOfKey = undefined
    this.#queue.unshift(follower)
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
    this.starts.run(delivery, partition)
  }

  /** Takes a start back whose handler was never called. */
  unstart(delivery: Delivery, partition: PartitionState): void {
    delivery.handling = false
    delivery.unstart()
    this.#freeSlot(delivery, partition)
    void this.#takeIsolationBack(delivery, partition)
    this.#batches?.left(delivery, true)
    if (delivery.state === DeliveryState.Running) {
      delivery.state = DeliveryState.Waiting
      this.#queue.unshift(delivery)
    }
    this.#host.idle(partition)
    this.dispatch()
  }

  /** A start has succeeded. */
  returned(delivery: Delivery, partition: PartitionState, run: number): void {
    if (!this.#close(delivery, partition, run, undefined)) return
    if (delivery.state === DeliveryState.Running) {
      if (delivery.timedOut) this.#host.failed(delivery, partition, delivery.signal.reason, false)
      else if (delivery.nacked !== undefined) this.#host.failed(delivery, partition, delivery.nacked.reason, false)
      // Manual: the message stays unsettled, and its key waits, until ack() or nack().
      else if (!this.#manualAck) this.#host.succeeded(delivery, partition)
    } else if (isSettled(delivery)) this.release(delivery, partition)
    this.#host.idle(partition)
    this.dispatch()
  }

  /** A start has failed. `final`: a retry can't help. */
  failed(delivery: Delivery, partition: PartitionState, run: number, error: unknown, final: boolean): void {
    if (!this.#close(delivery, partition, run, { error })) return
    if (delivery.state === DeliveryState.Running) this.#host.failed(delivery, partition, error, final)
    else if (isSettled(delivery)) {
      this.#host.overlapped(delivery, { error })
      this.release(delivery, partition)
    }
    this.#host.idle(partition)
    this.dispatch()
  }

  /**
   * Frees the slot of a start that has ended. Returns false when it had been abandoned, or its partition was revoked.
   */
  #close(delivery: Delivery, partition: PartitionState, run: number, failure: HandlerFailure | undefined): boolean {
    if (delivery.run !== run || !delivery.handling) {
      this.#host.overlapped(delivery, failure)
      return false
    }
    delivery.handling = false
    this.#freeSlot(delivery, partition)
    if (delivery.isolated) this.#leaveIsolation(delivery, partition)
    this.#batches?.left(delivery, true)
    if (partition.phase !== 'closed') return true
    this.#host.overlapped(delivery, failure)
    this.#host.idle(partition)
    this.dispatch()
    return false
  }

  #freeSlot(delivery: Delivery, partition: PartitionState): void {
    partition.running -= 1
    if (partition.outlasting.size > 0) partition.outlasting.delete(delivery)
    if (delivery.behind) partition.caughtUp(delivery)
    if (delivery.slotless) delivery.slotless = false
    else this.#running -= 1
    if (this.isolation.active) this.isolation.freed()
  }

  /** A start that was alone in the process has ended. */
  #leaveIsolation(delivery: Delivery, partition: PartitionState): void {
    delivery.isolated = false
    void this.#endIsolation(delivery, partition)
  }
}

/** Its handler has succeeded, and its ack is not recorded yet: it waits for others, or `ack()` is awaited. */
function isHandled({ state, handling }: Delivery): boolean {
  return !handling && (state === DeliveryState.Running || state === DeliveryState.Settled)
}

/** Settled by `ack()` while its handler was still running, whatever happened to the ack since. */
function isSettled(delivery: Delivery): boolean {
  return delivery.state >= DeliveryState.Settled
}
