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
  /** Runs before partitions are released: see {@link WindDown}. */
  readonly beforeLeaving: (partitions: readonly PartitionState[]) => Promise<void>
  /** Called when the loop can't continue. */
  readonly fail: (error: unknown) => void
}

/**
 * Decides what happens to each message. Owns the components that process messages: results from the dispatcher, `ack()`
 * and `nack()` pass through dedupe to the settler or to the failure handling, and finally leave the inbox.
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

  /** It is handled, and dedupe has nothing left to do before its ack. */
  marked(delivery: Delivery, partition: PartitionState): void {
    if (!delivery.duplicate) this.#reports.counts.handled += 1
    this.dispose(delivery, partition)
  }

  failed(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void {
    if (this.#dedupe?.failed(delivery) === true) return
    this.failures.handle(delivery, partition, error, final)
  }

  /** Settles it, whatever its outcome. */
  dispose(delivery: Delivery, partition: PartitionState): void {
    if (partition.phase === 'closed') return
    const behind = this.#settle(delivery, partition)
    if (partition.wantsRoom) this.inboxShrank(partition)
    if (!delivery.handling) return this.dispatcher.release(delivery, partition)
    partition.outlasting.add(delivery)
    if (behind) this.dispatcher.fallBehind(delivery, partition)
  }

  /** A message addressed to another group counts as done without a start; it is acked in its order. */
  disposeUnseen(delivery: Delivery, partition: PartitionState): void {
    this.#settle(delivery, partition)
  }

  /** Gives it up without settling it. */
  drop(delivery: Delivery, partition: PartitionState): void {
    if (delivery.state === DeliveryState.Dropped) return
    delivery.state = DeliveryState.Dropped
    rejectAckWaiters(delivery, goneError(partition))
    this.#inbox.remove(delivery)
    // A sender that retries sends a new delivery: this one must not block the window.
    if (this.#slot.driver?.redelivery !== 'sender' || partition.phase === 'closed') return
    partition.forgetDropped()
    if (partition.wantsRoom) this.inboxShrank(partition)
    this.dispatcher.release(delivery, partition)
  }

  /** Its partition was lost. */
  lost(delivery: Delivery, partition: PartitionState): void {
    delivery.state = DeliveryState.Dropped
    this.#dedupe?.dropped(delivery)
    rejectAckWaiters(delivery, goneError(partition))
  }

  /** It must be started again; the previous start doesn't count. */
  restart(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.gone.signal.aborted) this.drop(delivery, partition)
    else this.failures.postpone(delivery, partition, why)
  }

  /** It counted as handled, and its ack did not settle it: another member is handling it. */
  takeBack(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    if (partition.phase === 'closed') return
    if (![...partition.tracked].includes(delivery)) partition.tracked.push(delivery)
    if (delivery.handling) {
      // Its handler, which called ack(), continues; the attempt has failed when it ends.
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

  /** Its handler was abandoned. The error policy applies if the message isn't settled. */
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

  /** Returns whether an earlier message blocks its ack. */
  #settle(delivery: Delivery, partition: PartitionState): boolean {
    this.#inbox.remove(delivery)
    const isHandled = delivery.state === DeliveryState.Running
    const behind = partition.settle(delivery, this.#slot.driver?.settlement ?? 'individual')
    // Nothing in the process starts before the ack of a message that ran alone is recorded: it isn't batched with
    // others.
    if (delivery.isolated) void this.settler.drain(partition)
    else if (partition.done.length > 0) this.settler.touch(partition)
    if (delivery.suspect && delivery.attempt > 0) {
      // An ack that has to wait: if this process ended before it, the message would be considered running.
      if (behind) void this.dispatcher.starts.ended(delivery, partition, isHandled)
      this.dispatcher.isolation.done(this.#group, delivery)
    }
    return behind
  }
}
