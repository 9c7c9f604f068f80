import { type OutgoingRecord, type PublishBatch, StreamError } from '@streamswitch/core/driver'
import type { AttemptNumbers } from '../message.js'
import { headerCount } from '../wire/batch-frames.js'
import { MAX_HEADERS } from '../wire/limits.js'
import type { ProgressTable } from './progress.js'
import { type Refusal, refusalUnsent } from './refusal.js'
import { partsOf } from './reply-inboxes.js'
import { type Parcel, Run } from './run.js'
import type { Subscriber } from './subscriber.js'
import type { Target } from './targets.js'

/** What a dispatch needs of its producer. */
export interface DispatchHost {
  readonly topic: string
  readonly targets: readonly Target[]
  readonly progress: ProgressTable
  readonly contentType: string
  readonly notFoundGraceMs: number
  started(run: Run): void
  ended(run: Run): void
}

/**
 * Sends a batch to every group that hasn't accepted it: a run for each, and a report on each record once all have
 * answered.
 */
export class Dispatch {
  readonly #batch: PublishBatch
  readonly #host: DispatchHost
  readonly #done: () => void
  /** Answers that each record waits for. */
  readonly #waiting: number[]
  readonly #refusals: (Refusal | undefined)[]
  #open: number

  constructor(batch: PublishBatch, host: DispatchHost, done: () => void) {
    this.#batch = batch
    this.#host = host
    this.#done = done
    this.#open = batch.records.length
    this.#waiting = new Array<number>(batch.records.length).fill(host.targets.length)
    this.#refusals = new Array<Refusal | undefined>(batch.records.length).fill(undefined)
  }

  start(): void {
    for (const target of this.#host.targets) this.#startTarget(target)
  }

  #startTarget(target: Target): void {
    const { records } = this.#batch
    // A lane holds one key, or now and then several whose hashes are equal: each goes to its own replica.
    const bySubscriber = new Map<Subscriber, Parcel[]>()
    for (const [index, record] of records.entries()) {
      const progress = this.#host.progress.get(record)
      if (progress?.accepted.has(target.name) === true) {
        this.#answered(index, target, undefined)
        continue
      }
      if (headerCount(record.headers) > MAX_HEADERS) {
        this.#answered(index, target, refusalUnsent(tooManyHeaders(this.#host.topic)))
        continue
      }
      const subscriber = target.choose(record)
      let parcels = bySubscriber.get(subscriber)
      if (parcels === undefined) {
        parcels = []
        bySubscriber.set(subscriber, parcels)
      }
      parcels.push(new Consignment(this.#host, target, record, (refusal) => this.#answered(index, target, refusal)))
    }
    for (const [subscriber, parcels] of bySubscriber) this.#startRun(subscriber, parcels)
  }

  #startRun(subscriber: Subscriber, parcels: readonly Parcel[]): void {
    const run = new Run(parcels)
    this.#host.started(run)
    this.#runs.push(run)
    subscriber.add(run)
  }

  readonly #runs: Run[] = []

  #answered(index: number, target: Target, refusal: Refusal | undefined): void {
    const record = this.#batch.records[index] as OutgoingRecord
    if (refusal !== undefined) this.#refused(index, record, target, refusal)
    else if (this.#host.targets.length > 1) this.#host.progress.of(record).accepted.add(target.name)
    const left = (this.#waiting[index] as number) - 1
    this.#waiting[index] = left
    if (left === 0) this.#report(index)
  }

  #refused(index: number, record: OutgoingRecord, target: Target, refusal: Refusal): void {
    this.#host.progress.of(record).refused(target.name, refusal)
    const judged = this.#judge(record, target, refusal)
    const earlier = this.#refusals[index]
    // What can't be mended decides; among what can, the first.
    if (earlier === undefined || earlier.predecessor || (earlier.error.retryable && !judged.error.retryable))
      this.#refusals[index] = judged
  }

  #judge(record: OutgoingRecord, target: Target, refusal: Refusal): Refusal {
    const { error } = refusal
    if (error.code === 'NOT_FOUND' && error.retryable) {
      const progress = this.#host.progress.of(record)
      progress.missingSince ??= performance.now()
      if (performance.now() - progress.missingSince >= this.#host.notFoundGraceMs)
        return { ...refusal, error: withError(error, { retryable: false }) }
    }
    // Another replica needn't be waited for.
    if (refusal.elsewhere && error.retryAfterMs !== undefined && target.hasAlternative)
      return { ...refusal, error: withError(error, { retryAfterMs: undefined }) }
    const leastMs = error.retryAfterMs === undefined ? 0 : this.#host.progress.of(record).leastWaitMs(refusal)
    if (error.retryAfterMs !== undefined && error.retryAfterMs < leastMs)
      return { ...refusal, error: withError(error, { retryAfterMs: leastMs }) }
    return refusal
  }

  #report(index: number): void {
    const refusal = this.#refusals[index]
    if (refusal === undefined) {
      partsOf(this.#batch.records[index] as OutgoingRecord)?.nothing()
      this.#batch.accept(index, 0)
    }
    // Behind a failed one: not failed itself, it is sent again after that one.
    else if (!refusal.predecessor) this.#batch.fail(index, refusal.error)
    this.#open -= 1
    if (this.#open > 0) return
    for (const run of this.#runs) this.#host.ended(run)
    this.#done()
  }
}

/** One record for one target. */
class Consignment implements Parcel {
  readonly record: OutgoingRecord
  readonly topic: string
  readonly contentType: string
  readonly attempt: AttemptNumbers
  readonly unanswered: number
  readonly except: readonly string[] | undefined
  readonly settle: (refusal: Refusal | undefined) => void

  constructor(
    host: DispatchHost,
    target: Target,
    record: OutgoingRecord,
    settle: (refusal: Refusal | undefined) => void,
  ) {
    const progress = host.progress.get(record)
    this.record = record
    this.topic = host.topic
    this.contentType = host.contentType
    this.attempt = progress?.attempt(target.name) ?? 1
    this.unanswered = progress?.unanswered(target.name) ?? 0
    this.except = progress?.acceptedGroups
    this.settle = settle
  }
}

function tooManyHeaders(topic: string): StreamError {
  return new StreamError(`a message to '${topic}' has more than ${MAX_HEADERS} headers`, {
    code: 'TOO_LARGE',
    transport: 'http',
    operation: 'send',
    topic,
  })
}

function withError(
  error: StreamError,
  changes: { readonly retryable?: boolean; readonly retryAfterMs?: number | undefined },
): StreamError {
  const { code, retryable, transport, operation, topic, retryAfterMs, cause } = error
  return new StreamError(error.message, {
    code,
    retryable,
    transport,
    operation,
    topic,
    retryAfterMs,
    cause,
    ...changes,
  })
}
