import { type Backoff, backoffDelayMs } from '../backoff.js'
import type { ConsumerDriver } from '../contract/consumer-driver.js'
import { isStreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { DeadLetters } from './dead-letters.js'
import type { Delivery } from './delivery.js'
import type { Dispatcher } from './dispatcher.js'
import type { PartitionState } from './partition-state.js'

export interface FailureHost {
  readonly subject: string
  readonly logger: Logger
  readonly dispatcher: Dispatcher
  readonly deadLetters: DeadLetters | undefined
  readonly retry: Backoff & { readonly attempts: number; readonly when: (error: unknown) => boolean }
  readonly errorPolicy: 'stop' | 'restart'
  driver(): ConsumerDriver | undefined
  /** Settles the message although it failed: it is in the dead letters, or skipped. */
  dispose(delivery: Delivery, partition: PartitionState): void
  /** Takes the message out of this member's hands without settling it. */
  drop(delivery: Delivery, partition: PartitionState): void
  /** Ends the loop with this error. */
  fail(error: unknown): void
  /** Ends the reply to a request with the error of its handling, which is not tried again. Never rejects; nothing to wait for where it is none. */
  answerFailure(delivery: Delivery, error: unknown): Promise<void> | undefined
  retried(): void
  deadLettered(delivery: Delivery, error: unknown): void
  idle(partition: PartitionState): void
}

/** Decides what becomes of a failed attempt: another one after a backoff, the dead letters, or the error policy. */
export class Failures {
  readonly #host: FailureHost
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false

  constructor(host: FailureHost) {
    this.#host = host
  }

  /** Starts no further attempt from now on. */
  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  /** @param final - no further attempt can help: the message can't be decoded. */
  handle(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void {
    const host = this.#host
    const { retry } = host
    // Shutdown and disconnection never dead-letter: the message was not acked, and comes again.
    if (this.#stopped || partition.gone.signal.aborted) return host.drop(delivery, partition)
    if (host.driver()?.redelivery === 'sender') return void this.#giveBack(delivery, partition, error, final)
    const worthwhile = !isFinal(delivery, final) && delivery.attempt < retry.attempts && this.#isRetryable(error)
    if (worthwhile) return void this.#retryLater(delivery, partition, error)
    if (host.deadLetters !== undefined) return void this.#deadLetter(delivery, partition, error, host.deadLetters)
    this.byPolicy(delivery, partition, error)
  }

  /** Where nothing else can help: `stop` ends the loop and leaves the message unsettled, `restart` skips it. */
  byPolicy(delivery: Delivery, partition: PartitionState, error: unknown): void {
    const { errorPolicy, logger, subject } = this.#host
    void this.#host.answerFailure(delivery, error)
    if (errorPolicy === 'stop') {
      this.#host.drop(delivery, partition)
      this.#host.fail(error)
      return
    }
    logger.error(`${subject}: skipping message ${delivery.id} after ${delivery.attempt} attempts: ${describe(error)}`)
    this.#host.dispose(delivery, partition)
  }

  #isRetryable(error: unknown): boolean {
    try {
      return this.#host.retry.when(error)
    } catch (failure) {
      this.#host.logger.error(`${this.#host.subject}: retry.when threw: ${describe(failure)}`)
      return true
    }
  }

  async #retryLater(delivery: Delivery, partition: PartitionState, error: unknown): Promise<void> {
    const { retry, dispatcher, logger, subject } = this.#host
    dispatcher.suspend(delivery, partition)
    if (this.#stopped) return
    this.#host.retried()
    const wait = waitFor(error, retry, delivery.attempt)
    logger.info(
      `${subject}: attempt ${delivery.attempt} of message ${delivery.id} failed, next in ${Math.round(wait)} ms: ${describe(error)}`,
    )
    try {
      await this.#host.driver()?.attempts?.failed(partition.assignment, delivery, delivery.attempt)
    } catch (failure) {
      logger.warn(`${subject}: the failed attempt of message ${delivery.id} could not be noted: ${describe(failure)}`)
    }
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      dispatcher.restart(delivery, partition)
    }, wait)
    this.#timers.add(timer)
  }

  async #deadLetter(
    delivery: Delivery,
    partition: PartitionState,
    error: unknown,
    deadLetters: DeadLetters,
  ): Promise<void> {
    const { logger, subject } = this.#host
    partition.deadLettering += 1
    try {
      await Promise.all([
        deadLetters.write(delivery, error, partition.gone.signal),
        this.#host.answerFailure(delivery, error),
      ])
      logger.warn(
        `${subject}: message ${delivery.id} went to ${deadLetters.topicFor(delivery.topic)} after ${delivery.attempt} attempts: ${describe(error)}`,
      )
      partition.deadLettering -= 1
      this.#host.deadLettered(delivery, error)
      this.#host.dispose(delivery, partition)
    } catch {
      // Shutdown, or the partition went away: the original was never acked and comes again.
      partition.deadLettering -= 1
      this.#host.drop(delivery, partition)
    }
    this.#host.idle(partition)
  }

  /** HTTP: the sender retries. Only what no retry can help, or has had all its attempts, goes to the dead letters, if there are any. */
  async #giveBack(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): Promise<void> {
    const { deadLetters, retry, logger, subject } = this.#host
    const hopeless = isFinal(delivery, final) || delivery.attempt >= retry.attempts || !this.#isRetryable(error)
    if (hopeless && deadLetters !== undefined) return this.#deadLetter(delivery, partition, error, deadLetters)
    if (hopeless) await this.#host.answerFailure(delivery, error)
    logger.info(`${subject}: message ${delivery.id} failed and goes back to its sender: ${describe(error)}`)
    try {
      await this.#host
        .driver()
        ?.reject?.(
          partition.assignment,
          delivery,
          error,
          hopeless ? undefined : waitFor(error, retry, delivery.attempt),
        )
    } catch (failure) {
      logger.warn(`${subject}: the sender of message ${delivery.id} could not be told: ${describe(failure)}`)
    }
    this.#host.drop(delivery, partition)
  }
}

/** No other attempt: it can't help, or the caller has got parts of a reply already, which another would mix with its own. */
function isFinal(delivery: Delivery, final: boolean): boolean {
  return final || delivery.responder?.started === true
}

/** The wait before the next attempt: what the error asks for, else the loop's backoff. */
function waitFor(error: unknown, retry: Backoff, attempt: number): number {
  return isStreamError(error) && error.retryAfterMs !== undefined ? error.retryAfterMs : backoffDelayMs(retry, attempt)
}

/** One line about anything thrown. */
export function describe(error: unknown): string {
  if (isStreamError(error)) return `${error.code}: ${error.message}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
