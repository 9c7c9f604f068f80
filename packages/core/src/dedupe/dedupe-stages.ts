import { RECONNECT_BACKOFF } from '../backoff.js'
import { type Delivery, DeliveryState } from '../consumer/delivery.js'
import type { HandlerStage } from '../consumer/handler-chain.js'
import { isPromiseLike } from '../consumer/handler-starts.js'
import { isStreamError, type StreamError, toStreamError } from '../errors.js'
import type { Handler, Message } from '../message.js'
import type { Claims } from './claims.js'
import type { ClaimAnswer, DedupeMark } from './dedupe-store.js'
import { type DedupeTransaction, misuse } from './dedupe-transaction.js'
import { Postponement } from './postponement.js'

export interface DedupeStageHost {
  /** Handlers may start. */
  readonly started: boolean
  /** The group has already handled the message: it is acked without calling its handler. */
  duplicate(delivery: Delivery): void
  /** Another member was faster. */
  conflicted(delivery: Delivery, error: Postponement): void
  /** The store, or the database, is unavailable. */
  unanswered(error: StreamError): void
  /** The store refuses permanently. */
  fail(error: unknown): void
}

/** How long a message waits that was claimed when nothing may start any more, in milliseconds. */
const PAUSED_MS = 20

/**
 * Returns the stage that calls a handler only for messages that its group hasn't handled, and only while no other
 * handler is running for them.
 */
export function claimingStage(claims: Claims, host: DedupeStageHost): HandlerStage {
  return (next) => (message) => {
    const delivery = message as Delivery
    const answer = claims.take(delivery)
    if (answer === 'claimed') return next(message)
    if (answer === 'done') return host.duplicate(delivery)
    return claimed(delivery, answer, next)
  }

  async function claimed(
    delivery: Delivery,
    asked: ClaimAnswer | Promise<ClaimAnswer>,
    next: Handler,
  ): Promise<unknown> {
    const { run } = delivery
    let answer: ClaimAnswer
    try {
      answer = await asked
    } catch (error) {
      // A retry can't help, and without an answer nothing may be handled.
      if (!(error instanceof Postponement)) host.fail(error)
      throw error instanceof Postponement ? error : claims.busy(delivery, PAUSED_MS)
    }
    const current = delivery.run === run && delivery.handling && delivery.state === DeliveryState.Running
    if (answer === 'done') return current ? host.duplicate(delivery) : undefined
    if (answer !== 'claimed') throw claims.busy(delivery, answer.busyForMs)
    if (current && host.started && !delivery.timedOut) return next(delivery)
    claims.release(delivery)
    throw claims.busy(delivery, PAUSED_MS)
  }
}

/** Returns the stage that runs a handler within a transaction of the user's database, which also holds the mark. */
export function transactionStage(
  dedupe: DedupeTransaction,
  markOf: (message: Message) => DedupeMark,
  host: DedupeStageHost,
): HandlerStage {
  return (next) => (message) => {
    const delivery = message as Delivery
    const work = new Work(dedupe, message, next)
    let result: unknown
    try {
      result = dedupe.run(markOf(message), work.start)
    } catch (error) {
      throw failed(error)
    }
    // Without a promise there is nothing to wait for: a synchronous database handles messages synchronously.
    if (!isPromiseLike(result)) return ended()
    return result.then(ended, (error: unknown) => {
      throw failed(error)
    })

    function ended(): unknown {
      dedupe.end(message)
      if (work.state === 'none') return host.duplicate(delivery)
      if (work.state === 'running') {
        // The mark is committed, and it is unknown whether the handler's writes will be: no other message may be lost
        // like this.
        const error = misuse(
          `ended before the handler of message ${message.id} did: await the result of work()`,
          message,
        )
        host.fail(error)
        throw error
      }
      if (work.state === 'failed') throw work.error
      return work.result
    }
    function failed(error: unknown): unknown {
      dedupe.end(message)
      if (work.state === 'none') return notBegun(error)
      // The handler has finished; the database found at commit that another member had been faster.
      if (work.state !== 'done' || !isStreamError(error) || error.code !== 'CONFLICT') return error
      const conflict = new Postponement(error.message, { ...error, code: 'CONFLICT', cause: error, retryAfterMs: 0 })
      host.conflicted(delivery, conflict)
      return conflict
    }
    /** The handler was never called: the message waits for the database, as it does for a store. */
    function notBegun(cause: unknown): unknown {
      const error = toStreamError(cause, { code: 'UNKNOWN', topic: message.topic, operation: 'dedupe' })
      // Another member is inserting the mark.
      const busy = error.code === 'CONFLICT'
      if (!error.retryable && !busy) {
        host.fail(error)
        return error
      }
      const text = `the dedupe transaction of message ${message.id} could not be started: ${error.message}`
      const { code, topic, operation } = error
      const retryAfterMs = RECONNECT_BACKOFF.maxDelayMs
      const postponement = new Postponement(text, { code, topic, operation, cause, retryAfterMs })
      if (!busy) host.unanswered(postponement)
      return postponement
    }
  }
}

/** One call of a handler by the user's transaction. */
class Work {
  readonly #dedupe: DedupeTransaction
  readonly #message: Message
  readonly #next: (message: Message) => unknown
  state: 'none' | 'running' | 'done' | 'failed' = 'none'
  result: unknown
  error: unknown

  constructor(dedupe: DedupeTransaction, message: Message, next: (message: Message) => unknown) {
    this.#dedupe = dedupe
    this.#message = message
    this.#next = next
  }

  readonly start = (transaction: unknown): unknown => {
    if (this.state !== 'none') throw misuse(`called work() twice for message ${this.#message.id}`, this.#message)
    this.state = 'running'
    this.#dedupe.begin(this.#message, transaction)
    const fail = (error: unknown): never => {
      this.state = 'failed'
      this.error = error
      throw error
    }
    const end = (result: unknown): unknown => {
      this.state = 'done'
      this.result = result
      return result
    }
    let result: unknown
    try {
      result = this.#next(this.#message)
    } catch (error) {
      return fail(error)
    }
    return isPromiseLike(result) ? result.then(end, fail) : end(result)
  }
}
