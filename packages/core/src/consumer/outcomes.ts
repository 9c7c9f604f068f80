import type { Dedupe, DedupeOutcomes } from '../dedupe/dedupe.js'
import { Postponement } from '../dedupe/postponement.js'
import type { StreamError } from '../errors.js'
import type { Replies } from '../feedback/replies.js'
import { rejectAckWaiters } from './ack-waiters.js'
import type { AcknowledgementsHost } from './acknowledgements.js'
import type { ConsumerOptionValues } from './consumer-options.js'
import type { ConsumerReports } from './consumer-reports.js'
import type { DeadLetters } from './dead-letters.js'
import { type Delivery, DeliveryState } from './delivery.js'
import { Dispatcher, type DispatcherHost, type HandlerFailure } from './dispatcher.js'
import type { DriverSlot } from './driver-slot.js'
import { type FailureHost, Failures } from './failures.js'
import type { HandlerTimeoutsHost } from './handler-timeouts.js'
import type { Inbox } from './inbox.js'
import { IterationExited } from './loop-iterator.js'
import type { PartitionState } from './partition-state.js'
import { retryTest } from './retry-test.js'
import { goneError, Settler, type SettlerHost } from './settler.js'
import type { StoppedPartitions } from './stopped-partitions.js'
import { ValueDecoder } from './value-decoder.js'
import { WindDown } from './wind-down.js'

export interface OutcomeSettings {
  readonly group: string
  readonly options: ConsumerOptionValues
  readonly reports: ConsumerReports
  readonly inbox: Inbox
  readonly slot: DriverSlot
  readonly stopped: StoppedPartitions
  readonly deadLetters: DeadLetters | undefined
  readonly replies: Replies | undefined
  readonly dedupe: Dedupe | undefined
  /** Runs before partitions are handed over: see {@link WindDown}. */
  readonly beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>
  /** The loop can't go on. */
  readonly fail: (error: unknown) => void
}

/**
 * What becomes of each message. Owns those who work on messages and stands where their ways meet: what the dispatcher, `ack()` and
 * `nack()` say goes by dedupe to the settler or to the failures, and in the end out of the inbox.
 */
export class Outcomes
  implements DispatcherHost, FailureHost, SettlerHost, AcknowledgementsHost, HandlerTimeoutsHost, DedupeOutcomes
{
  readonly dispatcher: Dispatcher
  readonly settler: Settler
  readonly failures: Failures
  readonly windDown: WindDown
  readonly #reports: ConsumerReports
  readonly #inbox: Inbox
  readonly #slot: DriverSlot
  readonly #dedupe: Dedupe | undefined
  readonly #group: string

  constructor({
    options,
    group,
    reports,
    inbox,
    slot,
    stopped,
    deadLetters,
    replies,
    dedupe,
    beforeLeaving,
    fail,
  }: OutcomeSettings) {
    const { ordering, errorPolicy, codec, schema } = options
    const retry = { ...options.retry, when: retryTest(options.retry.when) }
    const manualAck = options.ack === 'manual'
    this.#reports = reports
    this.#inbox = inbox
    this.#slot = slot
    this.#dedupe = dedupe
    this.#group = group
    this.settler = new Settler(slot, reports, this)
    this.windDown = new WindDown(this.settler, beforeLeaving)
    const decoder = new ValueDecoder(codec, schema)
    this.dispatcher = new Dispatcher({ group, ordering, manualAck, attempts: retry.attempts, decoder, slot }, this)
    this.failures = new Failures({ retry, errorPolicy, reports, slot, stopped, deadLetters, replies, fail }, this)
    dedupe?.bind({ manualAck, dispatcher: this.dispatcher, outcomes: this, reports, fail })
  }

  settlementFailed(error: StreamError): void {
    this.#reports.settlementFailed(error)
  }

  unasked(delivery: Delivery): void {
    this.#reports.unasked(delivery)
  }

  /** Its handler has succeeded, or it was acked. */
  succeeded(delivery: Delivery, partition: PartitionState): void {
    if (this.#dedupe?.succeeded(delivery, partition) === true) return
    this.marked(delivery, partition)
  }

  /** It is handled, and nothing of dedupe is left to be done before its ack. */
  marked(delivery: Delivery, partition: PartitionState): void {
    if (!delivery.duplicate) this.#reports.counts.handled += 1
    this.dispose(delivery, partition)
  }

  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void {
    if (this.#dedupe?.failed(delivery) === true) return
    this.failures.handle(delivery, partition, error, final)
  }

  /** Settles it, however it came to its end. */
  dispose(delivery: Delivery, partition: PartitionState): void {
    if (partition.phase === 'closed') return
    const behind = this.#settle(delivery, partition)
    if (partition.wantsRoom) this.inboxShrank(partition)
    if (!delivery.handling) return this.dispatcher.release(delivery, partition)
    partition.outlasting.add(delivery)
    if (behind) this.dispatcher.fallBehind(delivery, partition)
  }

  /** A message for another group alone counts as done at once, without a start: it joins the acks in its place. */
  disposeUnseen(delivery: Delivery, partition: PartitionState): void {
    this.#settle(delivery, partition)
  }

  /** Takes it out of this member's hands without settling it. */
  drop(delivery: Delivery, partition: PartitionState): void {
    if (delivery.state === DeliveryState.Dropped) return
    delivery.state = DeliveryState.Dropped
    rejectAckWaiters(delivery, goneError(partition))
    this.#inbox.remove(delivery)
    // A sender that retries sends a new delivery: this one must not hold up the window.
    if (this.#slot.driver?.redelivery !== 'sender' || partition.phase === 'closed') return
    partition.forgetDropped()
    if (partition.wantsRoom) this.inboxShrank(partition)
    this.dispatcher.release(delivery, partition)
  }

  /** Its partition has gone with it. */
  lost(delivery: Delivery, partition: PartitionState): void {
    delivery.state = DeliveryState.Dropped
    this.#dedupe?.dropped(delivery)
    rejectAckWaiters(delivery, goneError(partition))
  }

  /** It must be started again, as if it had not been started. */
  restart(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.gone.signal.aborted) this.drop(delivery, partition)
    else this.failures.postpone(delivery, partition, why)
  }

  /** It counted as handled, and was not settled by its ack: somebody else is at work on it. */
  takeBack(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.phase === 'closed') return
    if (![...partition.tracked].includes(delivery)) partition.tracked.push(delivery)
    if (delivery.handling) {
      // Its handler, which was told by ack(), goes on; the attempt has failed when it ends.
      delivery.state = DeliveryState.Running
      delivery.nacked = { reason: why }
      return
    }
    delivery.state = DeliveryState.Waiting
    delivery.unstart()
    partition.inbox.unshift(delivery)
    this.dispatcher.dispatch()
  }

  takenBack(delivery: Delivery): void {
    this.#dedupe?.failed(delivery)
  }

  /** Nothing of the partition is started any more. */
  giveBack(partition: PartitionState): void {
    this.#dedupe?.giveBack(partition)
  }

  overlapped(delivery: Delivery, failure: HandlerFailure | undefined): void {
    // Its handler was never called.
    if (failure?.error instanceof Postponement) return
    this.#dedupe?.overlapped(delivery, failure === undefined)
    if (failure?.error instanceof IterationExited) return
    this.#reports.overlapped(delivery, failure)
  }

  /** Its handler was given up on. The error policy decides on what isn't settled. */
  leftBehind(delivery: Delivery, partition: PartitionState, error: StreamError): void {
    this.#reports.leftBehind(error)
    this.#dedupe?.leftBehind(delivery)
    if (delivery.state === DeliveryState.Running) this.failures.byPolicy(delivery, partition, error)
    this.idle(partition)
  }

  refused(delivery: Delivery, partition: PartitionState): boolean {
    return this.#dedupe?.refused(delivery, partition) === true
  }

  unsettled(delivery: Delivery): void {
    if (delivery.claim !== undefined) this.#dedupe?.outlived(delivery)
  }

  inboxShrank(partition: PartitionState): void {
    if (this.#inbox.wakeIfRoom(partition)) this.#reports.windowMoves(partition)
  }

  idle(partition: PartitionState): void {
    if (!partition.busy) this.windDown.idle()
  }

  /** Returns whether an earlier message holds its ack up. */
  #settle(delivery: Delivery, partition: PartitionState): boolean {
    this.#inbox.remove(delivery)
    const isHandled = delivery.state === DeliveryState.Running
    const behind = partition.settle(delivery, this.#slot.driver?.settlement ?? 'individual')
    // Nothing in the process starts before the ack of a message that was alone is on record: it doesn't wait for others to share it.
    if (delivery.isolated) void this.settler.drain(partition)
    else if (partition.done.length > 0) this.settler.touch(partition)
    if (delivery.suspect && delivery.attempt > 0) {
      // An ack that has to wait: were this process to end before it, the message would be taken for one that was at work.
      if (behind) void this.dispatcher.starts.ended(delivery, partition, isHandled)
      this.dispatcher.isolation.done(this.#group, delivery)
    }
    return behind
  }
}
