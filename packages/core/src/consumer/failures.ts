import { type Backoff, backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import { Postponement } from '../dedupe/postponement.js'
import { describe, isStreamError, StreamError, type StreamErrorOptions } from '../errors.js'
import type { Replies } from '../feedback/replies.js'
import { withSignal } from '../session.js'
import { wait } from '../time.js'
import { noteOf } from './attempt-notes.js'
import type { ConsumerReports } from './consumer-reports.js'
import type { DeadLetters } from './dead-letters.js'
import { type Delivery, DeliveryState } from './delivery.js'
import type { Dispatcher } from './dispatcher.js'
import type { DriverSlot } from './driver-slot.js'
import type { PartitionState } from './partition-state.js'
import type { RetryTest } from './retry-test.js'
import type { StoppedPartitions } from './stopped-partitions.js'

/** What happens when a message can't be handled: see the option. For the loop itself all but `restart` are `stop`. */
export type ErrorPolicy = 'stop' | 'restart' | 'stop-runner' | 'stop-application'

export interface FailureSettings {
  readonly retry: Backoff & { readonly attempts: number; readonly when: RetryTest }
  readonly errorPolicy: ErrorPolicy
  readonly deadLetters: DeadLetters | undefined
  readonly replies: Replies | undefined
  readonly reports: ConsumerReports
  readonly slot: DriverSlot
  readonly stopped: StoppedPartitions
  /** Ends the loop with this error. */
  readonly fail: (error: unknown) => void
}

/** What the failure handling requires of the components that hold the messages. */
export interface FailureHost {
  readonly dispatcher: Pick<Dispatcher, 'suspend' | 'restart' | 'resume'>
  /** Settles the message although it failed: it is in the dead letters, or skipped. */
  dispose(delivery: Delivery, partition: PartitionState): void
  /** Gives the message up without settling it. */
  drop(delivery: Delivery, partition: PartitionState): void
  /** The write of a dead letter has ended. */
  idle(partition: PartitionState): void
}

/** Backoff of a message that can't be handled at the moment. */
const POSTPONED: Backoff = { minDelayMs: 20, maxDelayMs: 1_000, factor: 2 }

/** Decides what follows a failed attempt: a retry after a backoff, the dead letters, or the error policy. */
export class Failures {
  readonly #settings: FailureSettings
  readonly #host: FailureHost
  readonly #timers = new Set<NodeJS.Timeout>()
  #stopped = false
  /** Number of messages skipped in a row, and how many had succeeded at the last skip. */
  #skips = { inARow: 0, handled: -1 }

  constructor(settings: FailureSettings, host: FailureHost) {
    this.#settings = settings
    this.#host = host
  }

  /** Starts no further attempt from now on. */
  stop(): void {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  /** @param final - a retry can't help: the message can't be decoded. */
  handle(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): void {
    const { retry, slot, deadLetters } = this.#settings
    // Shutdown and disconnection never dead-letter: the message was not acked and will be redelivered.
    if (this.#stopped || partition.gone.signal.aborted) return this.#host.drop(delivery, partition)
    if (error instanceof Postponement) return this.postpone(delivery, partition, error)
    if (slot.driver?.redelivery === 'sender') return void this.#giveBackOrBury(delivery, partition, error, final)
    const worthwhile = !isFinal(delivery, final) && delivery.attempt < retry.attempts && this.#isRetryable(error)
    if (worthwhile) return void this.#retryLater(delivery, partition, error)
    if (deadLetters !== undefined) return void this.#deadLetter(delivery, partition, error, deadLetters)
    this.byPolicy(delivery, partition, error)
  }

  /** Starts the message again later; the postponed start doesn't count. */
  postpone(delivery: Delivery, partition: PartitionState, why: Postponement): void {
    const { dispatcher } = this.#host
    delivery.unstart()
    delivery.postponed += 1
    const waitMs = Math.min(why.retryAfterMs ?? 0, backoffDelayMs(POSTPONED, delivery.postponed))
    if (this.#settings.slot.driver?.redelivery === 'sender') {
      delivery.state = DeliveryState.GivenUp
      return void this.#giveBack(delivery, partition, why, waitMs)
    }
    dispatcher.suspend(delivery, partition)
    this.#later(waitMs, () => dispatcher.restart(delivery, partition))
  }

  /**
   * Applies the error policy: `restart` skips the message, every other policy ends the loop and leaves the message
   * unsettled.
   */
  byPolicy(delivery: Delivery, partition: PartitionState, error: unknown): void {
    void this.#answer(delivery, error)
    if (this.#settings.errorPolicy === 'restart') return this.#skipLater(delivery, partition, error)
    this.#host.drop(delivery, partition)
    this.#settings.fail(error)
  }

  /**
   * Its key waits meanwhile, longer after each skip in a row: an error that affects every message must not empty the
   * topic.
   */
  #skipLater(delivery: Delivery, partition: PartitionState, error: unknown): void {
    const { retry, reports } = this.#settings
    const { dispatcher } = this.#host
    const handledCount = reports.counts.handled
    dispatcher.suspend(delivery, partition)
    if (this.#stopped) return
    this.#skips = { inARow: this.#skips.handled === handledCount ? this.#skips.inARow + 1 : 1, handled: handledCount }
    this.#later(backoffDelayMs(retry, this.#skips.inARow), () => {
      if (!dispatcher.resume(delivery, partition)) return
      reports.logger.error(
        `${reports.subject}: skipping message ${delivery.id} after ${delivery.attempt} attempts: ${describe(error)}`,
      )
      reports.skipped(delivery, error)
      this.#host.dispose(delivery, partition)
    })
  }

  #isRetryable(error: unknown): boolean {
    try {
      return this.#settings.retry.when(error)
    } catch (failure) {
      const { logger, subject } = this.#settings.reports
      logger.error(`${subject}: retry.when threw: ${describe(failure)}`)
      return true
    }
  }

  async #retryLater(delivery: Delivery, partition: PartitionState, error: unknown): Promise<void> {
    const { retry, reports, slot } = this.#settings
    const { logger, subject } = reports
    const { dispatcher } = this.#host
    dispatcher.suspend(delivery, partition)
    if (this.#stopped) return
    reports.counts.retried += 1
    const wait = waitFor(error, retry, delivery.attempt)
    logger.info(
      `${subject}: attempt ${delivery.attempt} of message ${delivery.id} failed, next in ${Math.round(wait)} ms: ${describe(error)}`,
    )
    try {
      await slot.driver?.attempts?.failed(partition.assignment, delivery, noteOf(delivery.attempt, false))
    } catch (failure) {
      logger.warn(
        `${subject}: the failed attempt of message ${delivery.id} could not be recorded: ${describe(reports.classify(failure, 'note'))}`,
      )
    }
    if (this.#stopped) return
    this.#later(wait, () => dispatcher.restart(delivery, partition))
  }

  #later(waitMs: number, action: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      action()
    }, waitMs)
    this.#timers.add(timer)
  }

  async #deadLetter(
    delivery: Delivery,
    partition: PartitionState,
    error: unknown,
    deadLetters: DeadLetters,
  ): Promise<void> {
    const { reports, stopped } = this.#settings
    delivery.state = DeliveryState.GivenUp
    partition.deadLettering += 1
    const [end] = await Promise.all([
      this.#writeDeadLetter(delivery, partition, error, deadLetters),
      this.#answer(delivery, error),
    ])
    partition.deadLettering -= 1
    stopped.resume(partition.assignment, delivery)
    if (end === 'dropped') {
      // Shutdown or revocation: the original was never acked and will be redelivered.
      this.#host.drop(delivery, partition)
    } else {
      if (end === 'skipped') reports.skipped(delivery, error)
      else {
        const missing =
          end.incomplete === undefined ? '' : `, without what the topic could not accept (${end.incomplete}),`
        reports.logger.warn(
          `${reports.subject}: message ${delivery.id} was written to ${deadLetters.topicFor(delivery.topic)}${missing} after ${delivery.attempt} attempts: ${describe(error)}`,
        )
        reports.deadLettered(delivery, error)
      }
      this.#host.dispose(delivery, partition)
    }
    this.#host.idle(partition)
  }

  /**
   * Writes the dead letter until it is confirmed. From the first failure on, its partition counts as stopped. A topic
   * that permanently can't be written to is subject to `errorPolicy`, if the user changed its default. Never rejects.
   */
  async #writeDeadLetter(
    delivery: Delivery,
    partition: PartitionState,
    error: unknown,
    deadLetters: DeadLetters,
  ): Promise<{ readonly incomplete: string | undefined } | 'dropped' | 'skipped'> {
    const { stopped } = this.#settings
    const { assignment } = partition
    for (let attempt = 1; ; attempt += 1) {
      // The first write may take the time that a close allows. Later ones don't block a close or a handover.
      const signal = attempt === 1 ? partition.gone.signal : partition.leaving.signal
      const result = await withSignal(deadLetters.write(delivery, error), signal).catch(() => undefined)
      if (result === undefined || partition.gone.signal.aborted) return 'dropped'
      const { failure } = result
      if (failure === undefined) return result
      const message = `message ${delivery.id} can't be written to ${deadLetters.topicFor(delivery.topic)}: ${failure.message}`
      const reason = new StreamError(message, { ...contextOf(failure), operation: 'dead-letter', cause: failure })
      const advice = failure.retryable
        ? stopped.wait(assignment, delivery, reason)
        : stopped.stop(assignment, delivery, reason)
      if (advice === 'skip') return 'skipped'
      try {
        await wait(backoffDelayMs(RECONNECT_BACKOFF, attempt), partition.leaving.signal)
      } catch {
        return 'dropped'
      }
    }
  }

  /**
   * HTTP: the sender retries. Only failures that no retry can help, or that have used up their attempts, are
   * dead-lettered, if dead letters are enabled.
   */
  async #giveBackOrBury(delivery: Delivery, partition: PartitionState, error: unknown, final: boolean): Promise<void> {
    const { deadLetters, retry } = this.#settings
    const hopeless = isFinal(delivery, final) || delivery.attempt >= retry.attempts || !this.#isRetryable(error)
    if (hopeless && deadLetters !== undefined) return this.#deadLetter(delivery, partition, error, deadLetters)
    delivery.state = DeliveryState.GivenUp
    if (hopeless) await this.#answer(delivery, error)
    return this.#giveBack(delivery, partition, error, hopeless ? undefined : waitFor(error, retry, delivery.attempt))
  }

  async #giveBack(
    delivery: Delivery,
    partition: PartitionState,
    error: unknown,
    retryAfterMs: number | undefined,
  ): Promise<void> {
    const { reports, slot } = this.#settings
    const { logger, subject } = reports
    logger.info(`${subject}: message ${delivery.id} failed and is returned to its sender: ${describe(error)}`)
    try {
      await slot.driver?.reject?.(partition.assignment, delivery, error, retryAfterMs)
    } catch (failure) {
      logger.warn(`${subject}: could not notify the sender of message ${delivery.id}: ${describe(failure)}`)
    }
    this.#host.drop(delivery, partition)
  }

  /** Ends the reply to a request with the handler's error, which is not retried. Never rejects. */
  #answer(delivery: Delivery, error: unknown): Promise<void> | undefined {
    return delivery.replyTo === undefined ? undefined : this.#settings.replies?.failed(delivery, error)
  }
}

/**
 * No further attempt: it can't help, or the caller has already received parts of a reply, which must not be mixed with
 * those of another attempt.
 */
function isFinal(delivery: Delivery, final: boolean): boolean {
  return final || delivery.responder?.started === true
}

/** The wait before the next attempt: what the error requests, else the loop's backoff. */
function waitFor(error: unknown, retry: Backoff, attempt: number): number {
  return isStreamError(error) && error.retryAfterMs !== undefined ? error.retryAfterMs : backoffDelayMs(retry, attempt)
}

function contextOf({ code, retryable, transport, topic }: StreamError): StreamErrorOptions {
  return { code, retryable, transport, topic }
}
