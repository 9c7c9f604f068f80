import { rejectAckWaiters } from '../consumer/ack-waiters.js'
import type { ConsumerReports } from '../consumer/consumer-reports.js'
import { type Delivery, DeliveryState } from '../consumer/delivery.js'
import type { Dispatcher } from '../consumer/dispatcher.js'
import type { HandlerStage } from '../consumer/handler-chain.js'
import type { PartitionState } from '../consumer/partition-state.js'
import type { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import { deadlineSignal } from '../time.js'
import type { Claims } from './claims.js'
import { claimingStage, type DedupeStageHost, transactionStage } from './dedupe-stages.js'
import type { DedupeMark } from './dedupe-store.js'
import type { DedupeTransaction } from './dedupe-transaction.js'
import type { Postponement } from './postponement.js'

/** What dedupe requires of the components that hold the messages. */
export interface DedupeOutcomes {
  /** The message's mark is stored: it is handled, and can be settled. */
  marked(delivery: Delivery, partition: PartitionState): void
  /** Settles a message that another member has handled. */
  dispose(delivery: Delivery, partition: PartitionState): void
  /** The message must be started again. */
  restart(delivery: Delivery, partition: PartitionState, why: Postponement): void
  /** A message that counted as handled was not settled by its ack: another member is handling it. */
  takeBack(delivery: Delivery, partition: PartitionState, why: Postponement): void
  /** The write of a mark has ended. */
  idle(partition: PartitionState): void
}

/** The loop around it. */
export interface DedupeHost {
  readonly manualAck: boolean
  readonly dispatcher: Pick<Dispatcher, 'started' | 'upcoming'>
  readonly outcomes: DedupeOutcomes
  readonly reports: Pick<ConsumerReports, 'counts' | 'duplicate' | 'conflict' | 'report'>
  readonly fail: (error: unknown) => void
}

/** The dedupe steps of a loop: one object per loop with the option, none without. */
export class Dedupe implements DedupeStageHost {
  readonly stage: HandlerStage
  readonly #claims: Claims | undefined
  #host: DedupeHost | undefined
  #deduplicated = 0
  #conflicts = 0

  /** @param by - the claims of a store, or the transaction that holds the marks. */
  constructor(by: Claims | DedupeTransaction, markOf: (message: Message) => DedupeMark) {
    if ('run' in by) {
      this.#claims = undefined
      this.stage = transactionStage(by, markOf, this)
    } else {
      this.#claims = by
      this.stage = claimingStage(by, this)
    }
  }

  /** Called before anything is handled. */
  bind(host: DedupeHost): void {
    this.#host = host
  }

  get counts(): { readonly deduplicated: number; readonly conflicts: number } {
    return { deduplicated: this.#deduplicated, conflicts: this.#conflicts }
  }

  get started(): boolean {
    return this.#host?.dispatcher.started === true
  }

  duplicate(delivery: Delivery): void {
    this.#deduplicated += 1
    delivery.duplicate = true
    this.#host?.reports.duplicate(delivery)
    if (this.#host?.manualAck === true) delivery.ack().catch(() => {})
  }

  conflicted(delivery: Delivery, error: Postponement): void {
    this.#conflicts += 1
    this.#host?.reports.conflict(delivery, error)
  }

  unanswered(error: StreamError): void {
    this.#host?.reports.report(error)
  }

  fail(error: unknown): void {
    this.#host?.fail(error)
  }

  /**
   * A handler has succeeded. True when its mark must be stored before the message may be settled: this object
   * continues.
   */
  succeeded(delivery: Delivery, partition: PartitionState): boolean {
    if (delivery.completing) return true
    if (delivery.claim === undefined || this.#claims === undefined || this.#claims.ridesWithAck()) return false
    void this.#complete(delivery, partition, this.#claims)
    return true
  }

  /** A handler has failed. True when that changes nothing, since `ack()` was called before. */
  failed(delivery: Delivery): boolean {
    if (delivery.completing) return true
    this.#claims?.release(delivery)
    return false
  }

  /**
   * A handler ended after its message had been given up: its effects exist, and must not be repeated elsewhere. With
   * `ack: 'manual'` its end has no meaning without an `ack()`, so another member starts over.
   */
  overlapped(delivery: Delivery, succeeded: boolean): void {
    if (delivery.claim === undefined || delivery.completing || delivery.state !== DeliveryState.Dropped) return
    if (succeeded && this.#host?.manualAck !== true) this.outlived(delivery)
    else this.#claims?.release(delivery)
  }

  /**
   * The message was given up. The outcome of its handler, if it is still running, decides on the claim when it ends.
   */
  dropped(delivery: Delivery): void {
    if (!delivery.handling && !delivery.completing) this.#claims?.release(delivery)
  }

  /** The handler has succeeded, and the ack that should have carried its mark can't be sent any more. */
  outlived(delivery: Delivery): void {
    const claims = this.#claims
    if (claims === undefined || delivery.claim === undefined || delivery.completing) return
    delivery.completing = true
    const tell = (answer: string): void => {
      if (answer !== 'completed')
        this.conflicted(delivery, claims.conflict(delivery, answer === 'done' ? 'done' : 'busy'))
    }
    claims.complete(delivery, deadlineSignal(OUTLIVED_MS)).then(tell, () => {})
  }

  /** A handler was abandoned. */
  leftBehind(delivery: Delivery): void {
    this.#claims?.forget(delivery)
  }

  /** The driver has processed the ack. True when it refused the mark, and the message returns to the inbox. */
  refused(delivery: Delivery, partition: PartitionState): boolean {
    const claims = this.#claims
    if (claims === undefined) return false
    claims.forget(delivery)
    const { refusal } = delivery
    if (refusal === undefined) return false
    const error = claims.conflict(delivery, refusal)
    delivery.refusal = undefined
    this.conflicted(delivery, error)
    rejectAckWaiters(delivery, error)
    // Its handler has succeeded, but another member's result counts.
    if (this.#host !== undefined) this.#host.reports.counts.handled -= 1
    if (refusal === 'busy') this.#host?.outcomes.takeBack(delivery, partition, error)
    return refusal === 'busy'
  }

  /** Returns the messages that start next. */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[] {
    return this.#host?.dispatcher.upcoming(most, started) ?? []
  }

  /** Nothing of this partition, or of any, may start any more: releases what was claimed ahead. */
  giveBack(partition?: PartitionState): void {
    this.#claims?.giveBack(partition)
  }

  /** Resolves once the released messages are free for other members. Never rejects. */
  async givenBack(): Promise<void> {
    await this.#claims?.givenBack()
  }

  close(): void {
    this.#claims?.close()
  }

  async #complete(delivery: Delivery, partition: PartitionState, claims: Claims): Promise<void> {
    delivery.completing = true
    partition.marking += 1
    const answer = await claims.complete(delivery, partition.gone.signal).catch(() => undefined)
    partition.marking -= 1
    delivery.completing = false
    if (answer === 'completed' && delivery.state === DeliveryState.Running)
      this.#host?.outcomes.marked(delivery, partition)
    else if (answer === 'done' || answer === 'busy') {
      const error = claims.conflict(delivery, answer)
      this.conflicted(delivery, error)
      rejectAckWaiters(delivery, error)
      // While its handler, which called ack(), is running the attempt continues; it ends with the handler.
      if (delivery.handling) delivery.nacked = { reason: error }
      else if (delivery.state !== DeliveryState.Running) return
      else if (answer === 'done') this.#host?.outcomes.dispose(delivery, partition)
      else this.#host?.outcomes.restart(delivery, partition, error)
    }
    this.#host?.outcomes.idle(partition)
  }
}

/** How long to retry storing marks of handlers that finished after their partition was revoked, in milliseconds. */
const OUTLIVED_MS = 30_000
