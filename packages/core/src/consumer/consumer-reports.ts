import type { ConsumerSpec } from '../contract/adapter.js'
import type { PartitionAssignment, RemovedRange } from '../contract/consumer-driver.js'
import { describe, type ErrorCode, StreamError } from '../errors.js'
import type { Events } from '../events.js'
import type { Logger } from '../logger.js'
import { Repetition } from '../repetition.js'
import type { Transport } from '../transport/transport.js'
import { MAX_HEADER_NAME, MAX_HEADERS_BYTES } from '../wire/limits.js'
import type { ConsumerEvents } from './consumer-events.js'
import type { Delivery } from './delivery.js'
import type { HandlerFailure } from './dispatcher.js'
import type { PartitionState } from './partition-state.js'
import { type Stall, stallError } from './stall-watch.js'
import type { StoppedPartition } from './stopped-partitions.js'

export interface ReportSettings {
  readonly subject: string
  readonly transport: Transport
  readonly spec: ConsumerSpec
  readonly events: Events<ConsumerEvents>
}

/**
 * Counts what happens in a loop and reports it by events, in the log, and by errors with the loop's name. Makes no
 * decisions.
 */
export class ConsumerReports {
  readonly subject: string
  readonly logger: Logger
  readonly #transport: Transport
  readonly #spec: ConsumerSpec
  readonly #events: Events<ConsumerEvents>
  readonly #failingAcks = new Repetition()
  #headersReported = false
  /** Reasons of failed settlements: each reason is one event, however many messages it concerns. */
  readonly #failedSettlements = new WeakSet<StreamError>()
  readonly counts = {
    received: 0,
    handled: 0,
    retried: 0,
    deadLettered: 0,
    dropped: 0,
    removed: 0,
    skipped: 0,
    acked: 0,
    overlaps: 0,
  }

  constructor({ subject, transport, spec, events }: ReportSettings) {
    this.subject = subject
    this.logger = transport.logger
    this.#transport = transport
    this.#spec = spec
    this.#events = events
  }

  error(code: ErrorCode, message: string, operation: string, cause?: unknown): StreamError {
    return new StreamError(`${this.subject}: ${message}`, {
      code,
      transport: this.#transport.name,
      topic: this.#spec.topics[0]?.topic,
      operation,
      cause,
    })
  }

  /** Classifies a transport's own error. */
  classify(cause: unknown, operation: string): StreamError {
    return this.#transport.adapter.classifyError(cause, operation, this.#spec.topics[0]?.topic)
  }

  stallError(stall: Stall): StreamError {
    return stallError(this.subject, this.#transport.name, stall)
  }

  report(error: StreamError): void {
    this.#events.emit('error', error)
  }

  // Connection and partitions.

  ready(again: boolean): void {
    this.#events.emit('ready', { again })
  }

  reconnecting(error: StreamError): void {
    this.#events.emit('reconnecting', { error })
  }

  assigned(assignments: readonly PartitionAssignment[]): void {
    if (assignments.length > 0) this.logger.debug(`${this.subject}: assigned ${list(assignments)}`)
    else this.logger.warn(`${this.subject}: joined the group without a partition: it has more members than partitions`)
    this.#events.emit('assigned', { partitions: assignments })
  }

  revoked(assignments: readonly PartitionAssignment[], how: 'graceful' | 'lost'): void {
    const names = list(assignments)
    this.logger.info(how === 'lost' ? `${this.subject}: lost ${names}` : `${this.subject}: released ${names}`)
    this.#events.emit('revoked', { partitions: assignments, how })
  }

  windowFull(partition: PartitionState): void {
    const { topic, partition: number } = partition.assignment
    const unsettled = partition.tracked.length
    this.logger.warn(
      `${this.subject}: partition ${number} of '${topic}' is paused: ${unsettled} messages wait behind unsettled ones (maxAheadMessages)`,
    )
    this.#events.emit('stalled', { topic, partition: number, reason: 'window', unsettled, backlog: 0 })
  }

  windowMoves({ assignment: { topic, partition } }: PartitionState): void {
    this.#events.emit('recovered', { topic, partition, reason: 'window' })
  }

  stalled({ topic, partition, backlog }: Stall, unsettled: number): void {
    this.#events.emit('stalled', { topic, partition, reason: 'delivery', unsettled, backlog })
  }

  recovered({ topic, partition }: Stall): void {
    this.logger.info(`${this.subject}: partition ${partition} of '${topic}' is no longer stalled`)
    this.#events.emit('recovered', { topic, partition, reason: 'delivery' })
  }

  partitionStopped({ topic, partition, error }: StoppedPartition): void {
    const message = `partition ${partition} of '${topic}' is stopped and will be retried: ${error.message}`
    this.report(this.error(error.code, message, 'consume', error))
    this.#events.emit('stalled', { topic, partition, reason: 'stopped', unsettled: 0, backlog: 0 })
  }

  partitionSkips({ topic, partition, error }: StoppedPartition): void {
    const message = `skipped in partition ${partition} of '${topic}' (errorPolicy: 'restart'): ${error.message}`
    this.report(this.error(error.code, message, 'consume', error))
  }

  partitionResumed({ topic, partition }: StoppedPartition): void {
    this.logger.info(`${this.subject}: partition ${partition} of '${topic}' has resumed`)
    this.#events.emit('recovered', { topic, partition, reason: 'stopped' })
  }

  // Messages.

  deadLettered({ id, topic, attempt: attempts }: Delivery, error: unknown): void {
    this.counts.deadLettered += 1
    this.#events.emit('deadLetter', { id, topic, attempts, error })
  }

  /** @param deadLetterTopic - the topic the message was written to; `undefined` when the loop has no dead letters. */
  dropped({ id, topic, partition }: Delivery, error: StreamError, deadLetterTopic: string | undefined): void {
    this.counts.dropped += 1
    const where = deadLetterTopic === undefined ? 'lost: the loop has no dead letters' : `now in ${deadLetterTopic}`
    this.logger.error(`${this.subject}: the broker dropped message ${id} (${where}): ${error.message}`)
    const deadLettered = deadLetterTopic !== undefined
    this.#events.emit('dropped', { id, topic, partition, deadLettered, error })
  }

  removed(range: RemovedRange): void {
    const { topic, partition, from, to, messages } = range
    this.counts.removed += messages ?? 0
    const howMany = messages === undefined ? 'messages' : `up to ${messages} messages`
    const where = `(from offset ${from ?? 'unknown'}, reading goes on at ${to ?? 'unknown'})`
    this.logger.error(
      `${this.subject}: ${howMany} of partition ${partition} of '${topic}' were removed before the group had them ${where}`,
    )
    this.#events.emit('removed', range)
  }

  skipped({ id, topic, attempt: attempts }: Delivery, error: unknown): void {
    this.counts.skipped += 1
    this.#events.emit('skipped', { id, topic, attempts, error })
  }

  /** Logged once per loop, since one foreign sender may send many. */
  headersLeftOut(delivery: Delivery): void {
    if (this.#headersReported) return
    this.#headersReported = true
    const { id, headersLeftOut } = delivery
    this.logger.warn(
      `${this.subject}: ${headersLeftOut} headers of message ${id} exceed the limits (${MAX_HEADERS_BYTES} bytes in total, names of 1 to ${MAX_HEADER_NAME} characters without control characters) and are only in message.native; further cases are not logged`,
    )
  }

  unacked({ id, topic, partition, offset }: Delivery, timeoutMs: number): void {
    this.logger.warn(
      `${this.subject}: message ${id} (partition ${partition}, offset ${offset}) still waits for ack() ${timeoutMs} ms after its handler returned (unackedTimeoutMs); it blocks its key`,
    )
    this.#events.emit('unacked', { id, topic, partition, offset })
  }

  duplicate({ id, topic, partition, offset }: Delivery): void {
    this.logger.debug(`${this.subject}: message ${id} was already handled; acked without calling its handler`)
    this.#events.emit('deduplicated', { id, topic, partition, offset })
  }

  conflict({ id, topic }: Delivery, error: StreamError): void {
    this.logger.warn(`${this.subject}: ${error.code}: ${error.message}`)
    this.#events.emit('conflict', { id, topic, error })
  }

  /** @param failure - the handler's error; `undefined` when it succeeded. */
  overlapped({ id }: Delivery, failure: HandlerFailure | undefined): void {
    this.counts.overlaps += 1
    const outcome = failure === undefined ? 'succeeded' : `failed (${describe(failure.error)})`
    this.logger.warn(
      `${this.subject}: the handler of message ${id} ${outcome} after its partition was reassigned; it may have run twice concurrently`,
    )
  }

  leftBehind(error: StreamError): void {
    this.counts.overlaps += 1
    this.report(error)
  }

  /** An `ack()`, `nack()` or `respond()` was rejected. */
  settlementFailed(error: StreamError): void {
    if (this.#failedSettlements.has(error)) return
    this.#failedSettlements.add(error)
    this.report(error)
  }

  unasked({ id, replyTo }: Delivery): void {
    const why = replyTo === undefined ? 'no reply was requested' : 'the loop does not answer requests (replies: false)'
    this.logger.debug(`${this.subject}: a reply to message ${id} was dropped: ${why}`)
  }

  settleFailed({ assignment }: PartitionState, error: StreamError): void {
    this.#failedSettlements.add(error)
    const message = `acks of partition ${assignment.partition} failed: ${error.message}`
    // While the broker accepts no acks each partition keeps retrying: that is reported once.
    if (error.retryable && !this.#failingAcks.isNews(error.code))
      return this.logger.debug(`${this.subject}: ${message}`)
    this.report(this.error(error.code, message, 'ack', error))
  }
}

function list(assignments: readonly PartitionAssignment[]): string {
  return assignments.map(({ topic, partition }) => `${topic}/${partition}`).join(', ') || 'no partitions'
}
