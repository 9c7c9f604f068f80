import type { Handler, Message } from '../message.js'
import { Batch, type BatchHost, type BatchKeeper, type Seat, takenBack } from './batch.js'
import type { Delivery } from './delivery.js'
import type { PartitionState } from './partition-state.js'
import { SetApart } from './set-apart.js'

/** Handles a list of messages. All are acked when it returns, except those it rejected. */
export type BatchHandler<T = unknown> = (messages: readonly Message<T>[]) => unknown

export interface BatchLimits {
  readonly maxMessages: number
  readonly maxWaitMs: number
}

/**
 * Gathers started messages into lists for a batch handler. Each message is dispatched, retried and settled separately;
 * only the handler is shared. Messages of one key may be in the same batch, in order, and never in two batches at once.
 */
export class HandlerBatches implements BatchKeeper {
  readonly handler: (messages: readonly Message[]) => unknown
  readonly apart = new SetApart()
  readonly #limits: BatchLimits
  readonly #seats = new Map<Message, Seat>()
  host: BatchHost | undefined
  #timer: NodeJS.Timeout | undefined
  #gathering: Batch | undefined
  #active = 0

  constructor(handler: (messages: readonly Message[]) => unknown, limits: BatchLimits) {
    this.handler = handler
    this.#limits = limits
  }

  attach(host: BatchHost): void {
    this.host = host
  }

  /** True when a message may be started: the gathering batch has room, or another may begin. */
  hasRoom(concurrency: number): boolean {
    return this.#gathering !== undefined || this.#active < concurrency
  }

  /** False for a message that has to be handled alone while others have already gathered. */
  admits(delivery: Delivery): boolean {
    return this.#gathering === undefined || !this.#isAlone(delivery)
  }

  /**
   * True when the message is in the batch that still gathers: the next of its key may join it. Not behind a message
   * that failed before: each further failure would handle the next one again for nothing.
   */
  takesNextOf(delivery: Delivery): boolean {
    const seat = this.#seats.get(delivery)
    return seat !== undefined && seat.batch === this.#gathering && delivery.attempt === 1
  }

  /** A message has been started. */
  join(delivery: Delivery, partition: PartitionState): void {
    const batch = this.#gathering ?? this.#open()
    this.#seats.set(delivery, batch.sit(delivery, partition))
    if (batch.seats.length >= this.#limits.maxMessages || this.#isAlone(delivery)) this.close()
  }

  /** Closes the gathering batch: it is handled as soon as all its messages have arrived. */
  close(): void {
    const batch = this.#gathering
    if (batch === undefined) return
    this.#gathering = undefined
    clearTimeout(this.#timer)
    batch.close()
  }

  /**
   * A start ended before it took part in its batch: it could not be decoded, was abandoned, or never began. Later
   * messages of its key wait behind it, unless it is finished for good.
   */
  left(delivery: Delivery, blocks: boolean): void {
    const seat = this.#seats.get(delivery)
    if (seat === undefined) return
    seat.batch.leave(seat)
    if (blocks && !seat.batch.handling) seat.batch.takeBackFollowers(seat)
    seat.batch.proceed()
  }

  /** The function that the dispatcher calls: the middleware, and the wait for the outcome of the whole batch. */
  around(chain: Handler): Handler {
    return (message) => {
      const seat = this.#seats.get(message)
      if (seat === undefined) throw takenBack(message)
      const verdict = new Promise((resolve, reject) => {
        seat.start = { resolve, reject }
      })
      let result: unknown
      try {
        result = chain(message)
      } catch (error) {
        this.#ended(seat, { error })
        return verdict
      }
      Promise.resolve(result).then(
        () => this.#ended(seat, undefined),
        (error: unknown) => this.#ended(seat, { error }),
      )
      return verdict
    }
  }

  /**
   * The innermost function of the chain: the message has passed all middleware and waits for the others of its batch.
   */
  readonly collect: Handler = (message) => {
    const seat = this.#seats.get(message)
    if (seat === undefined) return Promise.reject(takenBack(message))
    return new Promise((resolve, reject) => {
      seat.arrival = { resolve, reject }
      seat.batch.proceed()
    })
  }

  forget(seat: Seat): void {
    this.#seats.delete(seat.delivery)
  }

  over(): void {
    this.#active -= 1
  }

  #isAlone(delivery: Delivery): boolean {
    return delivery.isolated || this.apart.has(delivery)
  }

  #open(): Batch {
    const batch = new Batch(this)
    this.#timer = setTimeout(() => this.close(), this.#limits.maxWaitMs)
    this.#gathering = batch
    this.#active += 1
    return batch
  }

  #ended(seat: Seat, failure: { readonly error: unknown } | undefined): void {
    if (seat.gone) return
    seat.ended = { failure }
    // It failed on its way in: later messages of its key must not be handled before it.
    if (failure !== undefined && seat.arrival === undefined) seat.batch.takeBackFollowers(seat)
    seat.batch.proceed()
  }
}
