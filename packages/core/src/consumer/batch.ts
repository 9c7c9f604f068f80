import { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import { outcomesOf } from './batch-outcome.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'
import type { SetApart } from './set-apart.js'

/** What batches require of the dispatcher. */
export interface BatchHost {
  readonly tick: number
  readonly ordered: boolean
  dispatch(): void
  /** Takes a start back: the message waits behind another of its key, or is lost with its partition. */
  putBack(delivery: Delivery, partition: PartitionState, behind: Delivery | undefined): void
}

interface Settle {
  resolve(value?: unknown): void
  reject(error: unknown): void
}

/** One message's slot in a batch. */
export interface Seat {
  readonly delivery: Delivery
  readonly partition: PartitionState
  readonly batch: Batch
  /** Resolves the wait of the middleware around the batch; set once the message has passed it on the way in. */
  arrival: Settle | undefined
  /** Resolves the wait of the dispatcher; set once the middleware has been entered. */
  start: Settle | undefined
  /** The outcome of the outermost middleware. */
  ended: { readonly failure: { readonly error: unknown } | undefined } | undefined
  /** Given up or taken back: it no longer counts for the batch. */
  gone: boolean
}

/** State shared by the batches of one handler. */
export interface BatchKeeper {
  readonly handler: (messages: readonly Message[]) => unknown
  readonly apart: SetApart
  /** The dispatcher. */
  readonly host: BatchHost | undefined
  /** The message is no longer in any batch. */
  forget(seat: Seat): void
  /** All messages of the batch have an outcome. */
  over(): void
}

/**
 * One list of messages on its way through the handler: closed once it gathers no more, handled once all messages have
 * passed the middleware before the handler, done once all have passed the middleware after it and the dispatcher has
 * their outcomes.
 */
export class Batch {
  readonly seats: Seat[] = []
  readonly #keeper: BatchKeeper
  #phase: 'gathering' | 'closed' | 'handling' | 'handled' | 'over' = 'gathering'

  constructor(keeper: BatchKeeper) {
    this.#keeper = keeper
  }

  /** True while its handler is running. */
  get handling(): boolean {
    return this.#phase === 'handling'
  }

  sit(delivery: Delivery, partition: PartitionState): Seat {
    const seat: Seat = {
      delivery,
      partition,
      batch: this,
      arrival: undefined,
      start: undefined,
      ended: undefined,
      gone: false,
    }
    this.seats.push(seat)
    return seat
  }

  /** Stops adding messages: it is handled as soon as all its messages have arrived. */
  close(): void {
    this.#phase = 'closed'
    this.proceed()
  }

  /**
   * Advances as far as possible: calls the handler once all messages have arrived, reports outcomes once all have
   * ended.
   */
  proceed(): void {
    if (this.#phase === 'closed' && this.seats.every((seat) => isHere(seat))) this.#handle()
    // An abandoned handler may never return: its batch is over regardless.
    const over = this.#phase === 'handling' && this.seats.every((seat) => seat.gone)
    if (over || (this.#phase === 'handled' && this.seats.every((seat) => seat.gone || seat.ended !== undefined)))
      this.#finish()
  }

  #handle(): void {
    this.#phase = 'handling'
    const seats = this.seats.filter((seat) => !seat.gone && seat.ended === undefined)
    const usable = seats.filter((seat) => seat.partition.phase !== 'closed')
    for (const seat of seats) if (!usable.includes(seat)) this.#takeBack(seat, undefined)
    if (usable.length === 0) return this.#handled([], undefined)
    for (const { delivery } of usable) delivery.startedTick = this.#keeper.host?.tick ?? 0
    let result: unknown
    try {
      result = this.#keeper.handler(usable.map((seat) => seat.delivery))
    } catch (error) {
      return this.#handled(usable, { error })
    }
    Promise.resolve(result).then(
      () => this.#handled(usable, undefined),
      (error: unknown) => this.#handled(usable, { error }),
    )
  }

  /** Passes each message's outcome to its middleware. */
  #handled(seats: readonly Seat[], thrown: { readonly error: unknown } | undefined): void {
    if (this.#phase === 'over') return
    this.#phase = 'handled'
    const outcomes = outcomesOf(
      seats.map((seat) => seat.delivery),
      thrown,
    )
    const blocked = new Set<string>()
    for (const [index, seat] of seats.entries()) {
      const { delivery } = seat
      const failure = outcomes[index]
      const key = this.#keyOf(delivery)
      if (key !== undefined && blocked.has(key) && !isSettled(delivery)) seat.arrival?.reject(takenBack(delivery))
      else if (failure === undefined) {
        this.#keeper.apart.remove(delivery)
        seat.arrival?.resolve()
      } else {
        if (key !== undefined && !isSettled(delivery)) blocked.add(key)
        if (failure.blanket) this.#keeper.apart.add(delivery)
        seat.arrival?.reject(failure.error)
      }
    }
    this.proceed()
  }

  /**
   * Reports the outcomes to the dispatcher, in order; messages that follow a failure in its key return to the queue
   * behind it.
   */
  #finish(): void {
    this.#phase = 'over'
    this.#keeper.over()
    const seats = this.seats.filter((seat) => !seat.gone)
    const last = new Map<string, Delivery>()
    const verdicts: (() => void)[] = []
    for (const seat of seats) {
      const { delivery } = seat
      const failure = seat.ended?.failure
      const key = this.#keyOf(delivery)
      const behind = key === undefined ? undefined : last.get(key)
      this.leave(seat)
      if (key !== undefined && behind !== undefined && !isSettled(delivery)) {
        this.#keeper.host?.putBack(delivery, seat.partition, behind)
        last.set(key, delivery)
        continue
      }
      if (failure === undefined) verdicts.push(() => seat.start?.resolve())
      else {
        if (key !== undefined && !isSettled(delivery)) last.set(key, delivery)
        verdicts.push(() => seat.start?.reject(failure.error))
      }
    }
    for (const give of verdicts) give()
    this.#keeper.host?.dispatch()
  }

  /** Removes later messages of the seat's key from the batch, each queued behind the one before it. */
  takeBackFollowers(seat: Seat): void {
    const key = this.#keyOf(seat.delivery)
    if (key === undefined) return
    let behind = seat.delivery
    for (const other of this.seats.slice(this.seats.indexOf(seat) + 1)) {
      if (other.gone || this.#keyOf(other.delivery) !== key || other.partition !== seat.partition) continue
      this.#takeBack(other, behind)
      behind = other.delivery
    }
  }

  #takeBack(seat: Seat, behind: Delivery | undefined): void {
    this.leave(seat)
    this.#keeper.host?.putBack(seat.delivery, seat.partition, behind)
    seat.arrival?.reject(takenBack(seat.delivery))
  }

  /** The message no longer counts for the batch. */
  leave(seat: Seat): void {
    seat.gone = true
    this.#keeper.forget(seat)
  }

  /** Returns the key that orders a message, or `undefined` when it is unordered. Keys are per partition. */
  #keyOf(delivery: Delivery): string | undefined {
    if (delivery.key === undefined || this.#keeper.host?.ordered !== true) return undefined
    return `${delivery.topic}/${delivery.partition}/${delivery.key}`
  }
}

/** True when the message has arrived or never will. */
function isHere(seat: Seat): boolean {
  return seat.gone || seat.ended !== undefined || seat.arrival !== undefined
}

function isSettled(delivery: Delivery): boolean {
  return delivery.state >= DeliveryState.Settled || delivery.completing
}

/** Ends the middleware of a start that was taken back. Only middleware sees this error. */
export function takenBack(message: Message): StreamError {
  return new StreamError(
    `message ${message.id} was taken back: it waits behind another message of its key, or its partition was revoked`,
    {
      code: 'ABORTED',
      retryable: false,
      topic: message.topic,
      operation: 'handle',
    },
  )
}
