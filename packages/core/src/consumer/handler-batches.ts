import { StreamError } from '../errors.js'
import type { Handler, Message } from '../message.js'
import { outcomesOf } from './batch-outcome.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { PartitionState } from './partition-state.js'

/** What a batch handler may do with a list of messages. All are acked once it returns, but for those that it gave back. */
export type BatchHandler<T = unknown> = (messages: readonly Message<T>[]) => unknown

export interface BatchLimits {
  readonly maxMessages: number
  readonly maxWaitMs: number
}

/** What batches ask of the dispatcher. */
export interface BatchHost {
  readonly tick: number
  readonly ordered: boolean
  dispatch(): void
  /** Takes a start back: the message waits behind another of its key, or is lost with its partition. */
  putBack(delivery: Delivery, partition: PartitionState, behind: Delivery | undefined): void
}

/** Most messages that are remembered as to be handled alone. */
const MAX_SET_APART = 10_000

interface Settle {
  resolve(value?: unknown): void
  reject(error: unknown): void
}

/** One message's place in a batch. */
interface Seat {
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

interface Batch {
  readonly seats: Seat[]
  phase: 'gathering' | 'closed' | 'handling' | 'handled' | 'over'
  timer: NodeJS.Timeout | undefined
}

/**
 * Gathers started messages into lists for a batch handler. Each message goes through dispatch, stages, retries and settlement on its
 * own; only the handler at the end of its way is shared. Messages of one key may sit in the same batch, in order, and in no two at
 * once.
 */
export class HandlerBatches {
  readonly #limits: BatchLimits
  readonly #handler: (messages: readonly Message[]) => unknown
  readonly #seats = new Map<Message, Seat>()
  /** Failed together with others without a word on whose fault it was: handled alone, so that one can't take the others with it. By name, since a sender that retries sends a new delivery. */
  readonly #alone = new Set<string>()
  #host: BatchHost | undefined
  #gathering: Batch | undefined
  #active = 0

  constructor(handler: (messages: readonly Message[]) => unknown, limits: BatchLimits) {
    this.#handler = handler
    this.#limits = limits
  }

  attach(host: BatchHost): void {
    this.#host = host
  }

  /** A message may be started: the batch that gathers has room, or another may begin. */
  hasRoom(concurrency: number): boolean {
    return this.#gathering !== undefined || this.#active < concurrency
  }

  /** False for a message that has to be alone while others have gathered already. */
  admits(delivery: Delivery): boolean {
    return this.#gathering === undefined || !this.#isAlone(delivery)
  }

  /**
   * The message sits in the batch that still gathers: the next of its key may join it. Not behind one that has failed before: each
   * further failure would have it handled once more for nothing.
   */
  takesNextOf(delivery: Delivery): boolean {
    const seat = this.#seats.get(delivery)
    return seat !== undefined && seat.batch === this.#gathering && delivery.attempt === 1
  }

  /** A message has been started. */
  join(delivery: Delivery, partition: PartitionState): void {
    const batch = this.#gathering ?? this.#open()
    const seat: Seat = {
      delivery,
      partition,
      batch,
      arrival: undefined,
      start: undefined,
      ended: undefined,
      gone: false,
    }
    batch.seats.push(seat)
    this.#seats.set(delivery, seat)
    if (batch.seats.length >= this.#limits.maxMessages || this.#isAlone(delivery)) this.close()
  }

  /** Nothing more joins the batch that gathers: it is handled as soon as everything in it has come. */
  close(): void {
    const batch = this.#gathering
    if (batch === undefined) return
    this.#gathering = undefined
    clearTimeout(batch.timer)
    batch.phase = 'closed'
    this.#proceed(batch)
  }

  /**
   * A start ended before its batch had anything to do with it: it could not be decoded, was left behind, or never began. What
   * follows it in its key waits behind it, unless it is out of the way for good.
   */
  left(delivery: Delivery, blocks: boolean): void {
    const seat = this.#seats.get(delivery)
    if (seat === undefined) return
    this.#remove(seat)
    if (blocks && seat.batch.phase !== 'handling') this.#takeBackFollowers(seat)
    this.#proceed(seat.batch)
  }

  /** What the dispatcher calls: the stages, and the wait for the verdict on the whole batch. */
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

  /** The innermost of the chain: the message has passed all stages and waits for the others of its batch. */
  readonly collect: Handler = (message) => {
    const seat = this.#seats.get(message)
    if (seat === undefined) return Promise.reject(takenBack(message))
    return new Promise((resolve, reject) => {
      seat.arrival = { resolve, reject }
      this.#proceed(seat.batch)
    })
  }

  #isAlone(delivery: Delivery): boolean {
    return delivery.suspect || (this.#alone.size > 0 && this.#alone.has(nameOf(delivery)))
  }

  #setApart(delivery: Delivery): void {
    this.#alone.add(nameOf(delivery))
    // Those that never come again here must not stay for ever.
    if (this.#alone.size <= MAX_SET_APART) return
    for (const oldest of this.#alone) {
      this.#alone.delete(oldest)
      return
    }
  }

  #open(): Batch {
    const batch: Batch = { seats: [], phase: 'gathering', timer: undefined }
    batch.timer = setTimeout(() => this.close(), this.#limits.maxWaitMs)
    this.#gathering = batch
    this.#active += 1
    return batch
  }

  #ended(seat: Seat, failure: { readonly error: unknown } | undefined): void {
    if (seat.gone) return
    seat.ended = { failure }
    // It failed on its way in: what follows it in its key must not be handled before it.
    if (failure !== undefined && seat.arrival === undefined) this.#takeBackFollowers(seat)
    this.#proceed(seat.batch)
  }

  /** Goes as far as it can: to the handler once all have come, to the verdict once all have ended. */
  #proceed(batch: Batch): void {
    if (batch.phase === 'closed' && batch.seats.every((seat) => isHere(seat))) this.#handle(batch)
    // A handler that was left behind may never return: its batch is over all the same.
    const over = batch.phase === 'handling' && batch.seats.every((seat) => seat.gone)
    if (over || (batch.phase === 'handled' && batch.seats.every((seat) => seat.gone || seat.ended !== undefined)))
      this.#finish(batch)
  }

  #handle(batch: Batch): void {
    batch.phase = 'handling'
    const seats = batch.seats.filter((seat) => !seat.gone && seat.ended === undefined)
    const usable = seats.filter((seat) => seat.partition.phase !== 'closed')
    for (const seat of seats) if (!usable.includes(seat)) this.#takeBack(seat, undefined)
    if (usable.length === 0) return this.#handled(batch, [], undefined)
    for (const { delivery } of usable) delivery.startedTick = this.#host?.tick ?? 0
    let result: unknown
    try {
      result = this.#handler(usable.map((seat) => seat.delivery))
    } catch (error) {
      return this.#handled(batch, usable, { error })
    }
    Promise.resolve(result).then(
      () => this.#handled(batch, usable, undefined),
      (error: unknown) => this.#handled(batch, usable, { error }),
    )
  }

  /** Tells the stages of each message how it went. */
  #handled(batch: Batch, seats: readonly Seat[], thrown: { readonly error: unknown } | undefined): void {
    if (batch.phase === 'over') return
    batch.phase = 'handled'
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
        if (this.#alone.size > 0) this.#alone.delete(nameOf(delivery))
        seat.arrival?.resolve()
      } else {
        if (key !== undefined && !isSettled(delivery)) blocked.add(key)
        if (failure.blanket) this.#setApart(delivery)
        seat.arrival?.reject(failure.error)
      }
    }
    this.#proceed(batch)
  }

  /** Gives the dispatcher its verdicts, in order; what follows a failure in its key goes back behind it. */
  #finish(batch: Batch): void {
    batch.phase = 'over'
    this.#active -= 1
    const seats = batch.seats.filter((seat) => !seat.gone)
    const last = new Map<string, Delivery>()
    const verdicts: (() => void)[] = []
    for (const seat of seats) {
      const { delivery } = seat
      const failure = seat.ended?.failure
      const key = this.#keyOf(delivery)
      const behind = key === undefined ? undefined : last.get(key)
      this.#remove(seat)
      if (key !== undefined && behind !== undefined && !isSettled(delivery)) {
        this.#host?.putBack(delivery, seat.partition, behind)
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
    this.#host?.dispatch()
  }

  /** Later messages of the seat's key leave the batch, each behind the one before it. */
  #takeBackFollowers(seat: Seat): void {
    const key = this.#keyOf(seat.delivery)
    if (key === undefined) return
    let behind = seat.delivery
    for (const other of seat.batch.seats.slice(seat.batch.seats.indexOf(seat) + 1)) {
      if (other.gone || this.#keyOf(other.delivery) !== key || other.partition !== seat.partition) continue
      this.#takeBack(other, behind)
      behind = other.delivery
    }
  }

  #takeBack(seat: Seat, behind: Delivery | undefined): void {
    this.#remove(seat)
    this.#host?.putBack(seat.delivery, seat.partition, behind)
    seat.arrival?.reject(takenBack(seat.delivery))
  }

  #remove(seat: Seat): void {
    seat.gone = true
    this.#seats.delete(seat.delivery)
  }

  /** What orders a message among the others: `undefined` where nothing does. Partitions have their own keys. */
  #keyOf(delivery: Delivery): string | undefined {
    if (delivery.key === undefined || this.#host?.ordered !== true) return undefined
    return `${delivery.topic}/${delivery.partition}/${delivery.key}`
  }
}

function nameOf(delivery: Delivery): string {
  return `${delivery.topic}/${delivery.partition}/${delivery.id}`
}

/** In the list, or never to come. */
function isHere(seat: Seat): boolean {
  return seat.gone || seat.ended !== undefined || seat.arrival !== undefined
}

function isSettled(delivery: Delivery): boolean {
  return delivery.state >= DeliveryState.Settled || delivery.completing
}

/** Ends the stages of a start that was taken back. Nobody else sees it. */
function takenBack(message: Message): StreamError {
  return new StreamError(`message ${message.id} was taken back: it waits behind another one of its key, or was lost`, {
    code: 'ABORTED',
    retryable: false,
    topic: message.topic,
    operation: 'handle',
  })
}
