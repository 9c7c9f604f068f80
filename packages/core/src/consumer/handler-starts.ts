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
 * How many sendings without an answer count like one attempt that is used up. Most of them never reached a handler: the connection
 * broke on the way. But a message that ends its process is never answered either.
 */
const UNANSWERED_PER_ATTEMPT = 3

/** Longest wait before a start is noted again that could not be, in milliseconds. */
const UNNOTED_MS = 1_000

export interface HandlerStartsSettings {
  readonly group: string
  /** Most starts of a message. */
  readonly attempts: number
  readonly decoder: ValueDecoder
  readonly slot: DriverSlot
}

/** What starts ask of the dispatcher. `run` tells a start's end from that of an earlier one of the same message. */
export interface HandlerStartsHost {
  readonly prepared: PreparedHandler | undefined
  readonly isolation: Pick<Isolation, 'noting'>
  /** The start has ended well. */
  returned(delivery: Delivery, partition: PartitionState, run: number): void
  /** The start has failed. `final`: no other attempt can help. */
  failed(delivery: Delivery, partition: PartitionState, run: number, error: unknown, final: boolean): void
  /** The handler was never called: the start doesn't count. */
  unstart(delivery: Delivery, partition: PartitionState): void
}

/**
 * One start of a message's handler, from the note of it to its end: a suspect's start is put on record, the value decoded, the handler
 * called, its promise or generator waited for. What can be done at once is done at once.
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
      // Every start it had is on record: one more might end this process like those before.
      delivery.attempt -= 1
      return this.#host.failed(delivery, partition, run, usedUp(delivery), true)
    }
    // A start counts when its process ends only where no other message can be why.
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
   * A suspect is done, and its ack has to wait for others: whatever ends the process now, it wasn't this one. What was given up keeps its
   * attempts: if it comes again it must not have them all once more. Never rejects.
   */
  ended(delivery: Delivery, partition: PartitionState, isHandled: boolean): Promise<void> {
    return this.#note(delivery, partition, noteOf(isHandled ? delivery.attempt - 1 : delivery.attempt, false))
  }

  /** The start of a suspect was taken back: what is on record is what was before it. Never rejects. */
  takenBack(delivery: Delivery, partition: PartitionState): Promise<void> {
    return this.#note(delivery, partition, noteOf(delivery.attempt, delivery.isolated))
  }

  async #note(delivery: Delivery, partition: PartitionState, note: number): Promise<void> {
    try {
      await this.#settings.slot.driver?.attempts?.failed(partition.assignment, delivery, note)
    } catch {
      // It stays noted as being at work, and is handled alone if it comes again.
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
    // Paused, closing, or the partition goes or is gone, since the journal or the schema was asked: no handler is no success.
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
    // A promise is left as it is; what only looks like one may throw when it is asked, or answer twice.
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
    `message ${delivery.id} was sent ${delivery.unanswered} times without an answer: it may end the process that handles it, and is given up`,
    { code: 'ABORTED', retryable: false, topic: delivery.topic, operation: 'handle' },
  )
}

function usedUp({ id, topic, attempt, isolated }: Delivery): StreamError {
  const how = isolated
    ? 'its process ended, or lost the partition, while nothing else was at work'
    : 'its process ended'
  return new StreamError(`message ${id} has used up its ${attempt} attempts; at the last one ${how}`, {
    code: 'ABORTED',
    retryable: false,
    topic,
    operation: 'handle',
  })
}

/** Something to wait for. A value that can't be looked at (a revoked Proxy) is none. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  if (typeof value !== 'object' || value === null) return false
  try {
    return 'then' in value && typeof value.then === 'function'
  } catch {
    return false
  }
}
