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

/** What dedupe asks of those who keep the messages. */
export interface DedupeOutcomes {
  /** The message's mark is made: it is handled, and can be settled. */
  marked(delivery: Delivery, partition: PartitionState): void
  /** Settles a message that somebody else has handled. */
  dispose(delivery: Delivery, partition: PartitionState): void
  /** The message must be started again. */
  restart(delivery: Delivery, partition: PartitionState, why: Postponement): void
  /** A message that counted as handled was not settled by its ack: somebody else is at work on it. */
  takeBack(delivery: Delivery, partition: PartitionState, why: Postponement): void
  /** A mark is no longer on its way. */
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

/** What a loop with `dedupe` does besides handling: one object per loop, and none without the option. */
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

  /** A handling has succeeded. True where its mark must be made before the message may be settled: this object goes on with it. */
  succeeded(delivery: Delivery, partition: PartitionState): boolean {
    if (delivery.completing) return true
    if (delivery.claim === undefined || this.#claims === undefined || this.#claims.ridesWithAck()) return false
    void this.#complete(delivery, partition, this.#claims)
    return true
  }

  /** A handling has failed. True where that changes nothing, since `ack()` was called before. */
  failed(delivery: Delivery): boolean {
    if (delivery.completing) return true
    this.#claims?.release(delivery)
    return false
  }

  /**
   * A handler ended whose message had left this loop's hands: what it did is done, and must not be done again elsewhere. With
   * `ack: 'manual'` its end says nothing, and nobody can say anything any more: another member starts over.
   */
  overlapped(delivery: Delivery, succeeded: boolean): void {
    if (delivery.claim === undefined || delivery.completing || delivery.state !== DeliveryState.Dropped) return
    if (succeeded && this.#host?.manualAck !== true) this.outlived(delivery)
    else this.#claims?.release(delivery)
  }

  /** The message has left this loop's hands. What its handler does, if it is still at work, decides on the claim when it ends. */
  dropped(delivery: Delivery): void {
    if (!delivery.handling && !delivery.completing) this.#claims?.release(delivery)
  }

  /** The handling has succeeded, and the ack that should have carried its mark can't be sent any more. */
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

  /** A handler is waited for no longer. */
  leftBehind(delivery: Delivery): void {
    this.#claims?.forget(delivery)
  }

  /** The driver has taken the ack. True where it refused the mark, and the message goes back to the inbox. */
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
    // Its handler has succeeded, and somebody else's counts.
    if (this.#host !== undefined) this.#host.reports.counts.handled -= 1
    if (refusal === 'busy') this.#host?.outcomes.takeBack(delivery, partition, error)
    return refusal === 'busy'
  }

  /** What is to start next. */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[] {
    return this.#host?.dispatcher.upcoming(most, started) ?? []
  }

  /** Of this partition, or of any, nothing may start any more: gives back what was claimed ahead. */
  giveBack(partition?: PartitionState): void {
    this.#claims?.giveBack(partition)
  }

  /** Resolves once others may have what was given back. Never rejects. */
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
      // While its handler is at work, which was told by ack(), the attempt goes on; it ends with the handler.
      if (delivery.handling) delivery.nacked = { reason: error }
      else if (delivery.state !== DeliveryState.Running) return
      else if (answer === 'done') this.#host?.outcomes.dispose(delivery, partition)
      else this.#host?.outcomes.restart(delivery, partition, error)
    }
    this.#host?.outcomes.idle(partition)
  }
}

/** How long marks of handlers that outlived their partition are tried to be made, in milliseconds. */
const OUTLIVED_MS = 30_000
