import { Postponement } from '../dedupe/postponement.js'
import { inspectable, isStreamError, StreamError } from '../errors.js'
import { noteOf } from './attempt-notes.js'
import type { Delivery } from './delivery.js'
import type { DriverSlot } from './driver-slot.js'
import { isGenerator, runGenerator } from './handler-outputs.js'
import type { Isolation } from './isolation.js'
import type { PreparedHandler } from './loop-handler.js'
import type { PartitionState } from './partition-state.js'
import type { ValueDecoder } from './value-decoder.js'

/**
 * How many unanswered deliveries count like one used-up attempt. Most of them never reached a handler, since the
 * connection broke before. But a message that ends its process is never answered either.
 */
const UNANSWERED_PER_ATTEMPT = 3

/** Longest wait before a start is noted again that could not be, in milliseconds. */
const UNNOTED_MS = 1_000

export interface HandlerStartsSettings {
  readonly group: string
  /** Maximum number of starts of a message. */
  readonly attempts: number
  readonly decoder: ValueDecoder
  readonly slot: DriverSlot
}

/** What starts require of the dispatcher. `run` identifies a start among those of the same message. */
export interface HandlerStartsHost {
  readonly prepared: PreparedHandler | undefined
  readonly isolation: Pick<Isolation, 'noting'>
  /** The start has succeeded. */
  returned(delivery: Delivery, partition: PartitionState, run: number): void
  /** The start has failed. `final`: a retry can't help. */
  failed(delivery: Delivery, partition: PartitionState, run: number, error: unknown, final: boolean): void
  /** The handler was never called: the start doesn't count. */
  unstart(delivery: Delivery, partition: PartitionState): void
}

/**
 * One start of a message's handler, from its record to its end: a suspect's start is recorded, the value decoded, the
 * handler called, its promise or generator awaited. Runs synchronously where possible.
 */
export class HandlerStarts {
  readonly #settings: HandlerStartsSettings
  readonly #host: HandlerStartsHost

  constructor(settings: HandlerStartsSettings, host: HandlerStartsHost) {
    this.#settings = settings
    this.#host = host
  }

  run(delivery: Delivery, partition: PartitionState): void {
    if (delivery.unanswered >= UNANSWERED_PER_ATTEMPT * this.#settings.attempts) {
      delivery.attempt -= 1
      return this.#host.failed(delivery, partition, delivery.run, unanswered(delivery), true)
    }
    if (!delivery.suspect) return this.#decode(delivery, partition)
    const journal = this.#settings.slot.driver?.attempts
    const run = delivery.run
    if (delivery.attempt > this.#settings.attempts) {
      // Every start it had is recorded: one more might end this process like those before.
      delivery.attempt -= 1
      return this.#host.failed(delivery, partition, run, usedUp(delivery), true)
    }
    // A start counts when its process ends only if no other message can be the cause.
    const counted = delivery.isolated ? delivery.attempt : delivery.attempt - 1
    this.#host.isolation.noting(this.#settings.group, delivery, counted)
    if (journal === undefined) return this.#decode(delivery, partition)
    journal.starting(partition.assignment, delivery, noteOf(counted, true)).then(
      () => {
        if (delivery.run === run) this.#decode(delivery, partition)
      },
      (error: unknown) => this.#host.failed(delivery, partition, run, unnoted(delivery, error), false),
    )
  }

  /**
   * A suspect is done, and its ack has to wait for others: if the process ends now, it wasn't the cause. A message that
   * was given up keeps its attempts, so that it doesn't get all of them again when it is redelivered. Never rejects.
   */
  ended(delivery: Delivery, partition: PartitionState, isHandled: boolean): Promise<void> {
    return this.#note(delivery, partition, noteOf(isHandled ? delivery.attempt - 1 : delivery.attempt, false))
  }

  /** The start of a suspect was undone: restores the note that was there before it. Never rejects. */
  takenBack(delivery: Delivery, partition: PartitionState): Promise<void> {
    return this.#note(delivery, partition, noteOf(delivery.attempt, delivery.isolated))
  }

  async #note(delivery: Delivery, partition: PartitionState, note: number): Promise<void> {
    try {
      await this.#settings.slot.driver?.attempts?.failed(partition.assignment, delivery, note)
    } catch {
      // It stays recorded as running, and is handled alone if it is redelivered.
    }
  }

  #decode(delivery: Delivery, partition: PartitionState): void {
    if (delivery.decoded) return this.#handle(delivery, partition)
    const run = delivery.run
    let pending: Promise<void> | undefined
    try {
      pending = this.#settings.decoder.decode(delivery)
    } catch (error) {
      return this.#host.failed(delivery, partition, run, error, true)
    }
    if (pending === undefined) return this.#handle(delivery, partition)
    pending.then(
      () => {
        if (delivery.run === run) this.#handle(delivery, partition)
      },
      (error: unknown) => this.#host.failed(delivery, partition, run, error, true),
    )
  }

  #handle(delivery: Delivery, partition: PartitionState): void {
    const prepared = this.#host.prepared
    // Paused, closing, or the partition is being revoked since the start, while the journal or the schema was awaited: a
    // missing handler is not a success.
    if (prepared === undefined || partition.phase !== 'open') return this.#host.unstart(delivery, partition)
    const run = delivery.run
    let result: unknown
    try {
      result = prepared.handle(delivery)
    } catch (error) {
      return this.#host.failed(delivery, partition, run, inspectable(error), false)
    }
    if (typeof result !== 'object' || result === null) return this.#host.returned(delivery, partition, run)
    if (isPromiseLike(result)) return this.#waitFor(result, prepared, delivery, partition, run)
    if (!isGenerator(result)) return this.#host.returned(delivery, partition, run)
    this.#waitFor(runGenerator(delivery, result, prepared.forward), prepared, delivery, partition, run)
  }

  #waitFor(
    result: PromiseLike<unknown>,
    prepared: PreparedHandler,
    delivery: Delivery,
    partition: PartitionState,
    run: number,
  ): void {
    // A promise is returned as it is; a thenable may throw when it is called, or settle twice.
    Promise.resolve(result).then(
      (value) => {
        // An `async` function around a generator: nothing of it has run yet.
        if (typeof value === 'object' && isGenerator(value))
          this.#waitFor(runGenerator(delivery, value, prepared.forward), prepared, delivery, partition, run)
        else this.#host.returned(delivery, partition, run)
      },
      (error: unknown) => this.#host.failed(delivery, partition, run, inspectable(error), false),
    )
  }
}

/** A start that can't be noted just now is none: it is tried again, and not charged. */
function unnoted({ id, topic }: Delivery, error: unknown): unknown {
  if (!isStreamError(error) || !error.retryable) return error
  const { code, message } = error
  return new Postponement(`the start of message ${id} could not be noted: ${message}`, {
    code,
    topic,
    operation: 'note',
    cause: error,
    retryAfterMs: UNNOTED_MS,
  })
}

function unanswered(delivery: Delivery): StreamError {
  return new StreamError(
    `message ${delivery.id} was delivered ${delivery.unanswered} times without an answer: it may end the process that handles it; giving up on it`,
    { code: 'ABORTED', retryable: false, topic: delivery.topic, operation: 'handle' },
  )
}

function usedUp({ id, topic, attempt, isolated }: Delivery): StreamError {
  const how = isolated
    ? 'it was the only message running when its process ended or lost the partition'
    : 'its process ended'
  return new StreamError(`message ${id} has used up its ${attempt} attempts; at the last one ${how}`, {
    code: 'ABORTED',
    retryable: false,
    topic,
    operation: 'handle',
  })
}

/** True for a thenable. A value that can't be inspected (a revoked Proxy) isn't one. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false
  try {
    return 'then' in value && typeof value.then === 'function'
  } catch {
    return false
  }
}
