import { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import { outcomesOf } from './batch-outcome.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'
import type { SetApart } from './set-apart.js'

/** What batches ask of the dispatcher. */
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

/** One message's place in a batch. */
export interface Seat {
  readonly delivery: Delivery
  readonly partition: PartitionState
  readonly batch: Batch
  /** What the stages around the batch wait for; set once the message has passed them on its way in. */
  arrival: Settle | undefined
  /** What the dispatcher waits for; set once the stages have been entered. */
  start: Settle | undefined
  /** How the outermost stage ended. */
  ended: { readonly failure: { readonly error: unknown } | undefined } | undefined
  /** Given up or taken back: nothing of it counts for the batch any more. */
  gone: boolean
}

/** What batches of one handler share. */
export interface BatchKeeper {
  readonly handler: (messages: readonly Message[]) => unknown
  readonly apart: SetApart
  /** The dispatcher. */
  readonly host: BatchHost | undefined
  /** The message sits in no batch any more. */
  forget(seat: Seat): void
  /** All verdicts of the batch are given. */
  over(): void
}

/**
 * One list of messages on its way through the handler: closed once it gathers no more, handled once all of it have passed the stages
 * before the handler, over once all have passed those behind it and the dispatcher has its verdicts.
 */
export class Batch {
  readonly seats: Seat[] = []
  readonly #keeper: BatchKeeper
  #phase: 'gathering' | 'closed' | 'handling' | 'handled' | 'over' = 'gathering'

  constructor(keeper: BatchKeeper) {
    this.#keeper = keeper
  }

  /** Its handler is at work. */
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

  /** Nothing more joins: it is handled as soon as everything in it has come. */
  close(): void {
    this.#phase = 'closed'
    this.proceed()
  }

  /** Goes as far as it can: to the handler once all have come, to the verdict once all have ended. */
  proceed(): void {
    if (this.#phase === 'closed' && this.seats.every((seat) => isHere(seat))) this.#handle()
    // A handler that was left behind may never return: its batch is over all the same.
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

  /** Tells the stages of each message how it went. */
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

  /** Gives the dispatcher its verdicts, in order; what follows a failure in its key goes back behind it. */
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

  /** Later messages of the seat's key leave the batch, each behind the one before it. */
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

  /** Nothing of the message counts for the batch any more. */
  leave(seat: Seat): void {
    seat.gone = true
    this.#keeper.forget(seat)
  }

  /** What orders a message among the others: `undefined` where nothing does. Partitions have their own keys. */
  #keyOf(delivery: Delivery): string | undefined {
    if (delivery.key === undefined || this.#keeper.host?.ordered !== true) return undefined
    return `${delivery.topic}/${delivery.partition}/${delivery.key}`
  }
}

/** In the list, or never to come. */
function isHere(seat: Seat): boolean {
  return seat.gone || seat.ended !== undefined || seat.arrival !== undefined
}

function isSettled(delivery: Delivery): boolean {
  return delivery.state >= DeliveryState.Settled || delivery.completing
}

/** Ends the stages of a start that was taken back. Nobody else sees it. */
export function takenBack(message: Message): StreamError {
  return new StreamError(`message ${message.id} was taken back: it waits behind another one of its key, or was lost`, {
    code: 'ABORTED',
    retryable: false,
    topic: message.topic,
    operation: 'handle',
  })
}
