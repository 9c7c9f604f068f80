import {
  areWithinLimits,
  arrivedAttempts,
  arrivedId,
  arrivedKey,
  arrivedReplyTo,
  arrivedTimestamp,
  boundedHeaders,
} from '../arrival/arrived.js'
import type { PartitionAssignment } from '../contract/consumer-driver.js'
import type { NativeForm } from '../contract/native-form.js'
import type { DedupeClaim } from '../dedupe/dedupe-store.js'
import { StreamError } from '../errors.js'
import { type Answering, Unanswerable } from '../feedback/responder.js'
import type { Headers, Message } from '../message.js'
import { ROUTING_HEADERS } from '../wire/reserved-headers.js'
import type { PartitionState } from './partition-state.js'

/**
 * The fields of a received record: raw values, as the record has them. {@link Delivery} brings them within the limits
 * of sending.
 */
export interface DeliveryFields {
  /** `undefined` or empty for a foreign message without one. */
  readonly id: string | undefined
  readonly key: string | undefined
  /** `undefined` is a tombstone. */
  readonly payload: Buffer | undefined
  /**
   * The user's headers, and those of a dead letter. Other reserved headers have been removed; binary headers are in
   * `native`.
   */
  readonly headers: Headers
  /**
   * The sender's timestamp, in milliseconds since the epoch: a number, bigint, decimal digits or a `Date`. Anything
   * else is ignored.
   */
  readonly timestamp: unknown
  /** The broker's timestamp, in the same forms; used when the sender's is missing. Default: now. */
  readonly brokerTimestamp?: unknown
  /**
   * Memory that the record takes in this process beside payload and key, in bytes: a long id, headers, data only in
   * `native`. Counts for the inbox's limit, so that large headers can't exhaust the memory. Default 0.
   */
  readonly extraBytes?: number
  /** The transport's own offset, as it needs it to settle; shown to users as a string. */
  readonly position: string | number | bigint
  readonly replyTo?: string | undefined
  readonly native: unknown
  /** Format of `native`, so that the message can be forwarded unchanged. Default: it holds nothing beyond these fields. */
  readonly form?: NativeForm
  /** Recorded handler starts of this message in this group, by this or an earlier process. Default 0. */
  readonly priorAttempts?: number
  /**
   * Earlier deliveries of which it is unknown whether they started a handler: after 3 times `retry.attempts` of them it
   * is not started again. Default 0.
   */
  readonly unanswered?: number
  /** It was delivered to a member that died, so its starts are recorded. Default false. */
  readonly suspect?: boolean
  /** It was recorded as running when that member died, so it is handled alone. Default false. See `historyOf`. */
  readonly wasAtWork?: boolean
}

/**
 * State of a message. Every transition from its delivery to its end, and what makes it;
 * `test/support/consumer-model/transitions.ts` has the same as data, against which random histories are checked:
 *
 * | from | to | when |
 * |---|---|---|
 * | Waiting | Running | its turn has come (`Dispatcher`) |
 * | | Settled | it is addressed to another group; it is skipped by the error policy (`Outcomes`) |
 * | | Dropped | its partition was revoked (`AssignedPartitions`) |
 * | Running | Settled | its handler has succeeded, with `ack: 'auto'`; `ack()` was called (`Outcomes`) |
 * | | Retrying | the attempt has failed, and a retry or the skipping is due after a backoff (`Failures`) |
 * | | GivenUp | the attempt has failed, and was the last one (`Failures`) |
 * | | Waiting | the start was taken back: the handler was never called, or its batch continues without it (`Dispatcher`) |
 * | | Dropped | its partition was revoked, or the loop ends with its error |
 * | Retrying | Waiting | the backoff is over |
 * | | Dropped | its partition was revoked |
 * | GivenUp | Settled | its dead letter is confirmed |
 * | | Dropped | its sender was notified of the failure; its partition was revoked |
 * | Settled | Acked | the broker has confirmed the ack (`Settler`) |
 * | | Dropped | the ack can't be sent any more, or was permanently refused (`Settler`) |
 * | | Running, Waiting | the ack was to complete its claim, which another member had taken over (`Outcomes`) |
 * Acked and Dropped are final. A dropped message is redelivered, here or elsewhere, as another delivery.
 */
export const DeliveryState = {
  /** In the inbox, or behind another message of its key. */
  Waiting: 0,
  /** Its handler is running, or has returned and `ack()` is pending. */
  Running: 1,
  /** Failed; started again after its backoff. */
  Retrying: 2,
  /** Failed permanently: being written to the dead letters, or returned to its sender. */
  GivenUp: 3,
  /** Handled or dead-lettered; the ack may still be in flight. */
  Settled: 4,
  /** The broker has confirmed the ack. */
  Acked: 5,
  /** Given up by this member: its partition was revoked, its failure was returned to the sender, or its ack was refused. */
  Dropped: 6,
} as const

export type DeliveryState = (typeof DeliveryState)[keyof typeof DeliveryState]

/**
 * One received record: created by drivers, processed by the dispatcher, seen by handlers as {@link Message}. A single
 * object per message.
 */
export class Delivery<T = unknown> implements Message<T> {
  readonly assignment: PartitionAssignment
  readonly key: string | undefined
  readonly bytes: Buffer | undefined
  readonly headers: Headers
  readonly timestamp: number
  readonly position: string | number | bigint
  readonly replyTo: string | undefined
  readonly native: unknown
  /** What the adapter has of the record as it was received, if it keeps that. */
  readonly form: NativeForm | undefined
  /** It was delivered to a member that died: a driver records its starts. */
  suspect: boolean
  /** @internal Nothing else in the process may run while it does. */ isolated: boolean
  /** @internal */ readonly unanswered: number
  /** @internal The only group that handles it; `undefined`: every group. */ readonly onlyGroup: string | undefined
  /** @internal Number of received headers beyond the limits, which are only in `native`. */
  readonly headersLeftOut: number
  attempt: number
  /**
   * This member's claim on the message, with `dedupe`. A driver that finds one on a delivery that it acks completes it
   * in the same step: see `ConsumerDriver.ack`.
   */
  claim: DedupeClaim | undefined = undefined
  /**
   * Set by such a driver when another member had taken over the claim. `done`: that member has finished the message,
   * which is acked anyway. `busy`: it is still handling it, and nothing was acked.
   */
  refusal: 'done' | 'busy' | undefined = undefined
  /** @internal */ state: DeliveryState = DeliveryState.Waiting
  /** @internal */ partitionState: PartitionState | undefined = undefined
  /** @internal The next message of the same key, waiting for this one. */ nextOfKey: Delivery | undefined = undefined
  /** @internal Time of the handler's start, by the dispatcher's clock. */ startedTick = 0
  /** @internal Counts handler starts, so that the late end of an earlier one is recognised. */ run = 0
  /** @internal The handler has not returned yet, even if the message is settled. */ handling = false
  /** @internal The completion of its claim is being written to the dedupe store. */ completing = false
  /** @internal The group had already handled it. */ duplicate = false
  /** @internal How often it was postponed. */ postponed = 0
  /** @internal Settled by its handler, which has not returned, while an earlier message blocks its ack. */ behind = false
  /** @internal Its handler no longer counts for `concurrency`. */ slotless = false
  /** @internal It counts for the inbox's bytes. */ counted = false
  /** @internal The value is decoded. */ decoded = false
  /** @internal The pending promises of `ack()` calls. */ ackWaiters:
    | { resolve: () => void; reject: (error: StreamError) => void }[]
    | undefined = undefined
  /** @internal The reason of a `nack()` during the handling. */ nacked: { readonly reason: unknown } | undefined =
    undefined
  /** @internal The handler has timed out: the attempt has failed, whatever the handler does now. */ timedOut = false
  /** @internal Answers the request, if it is one and its handler has been started. */ responder:
    | Answering
    | undefined = undefined
  /** Size beside payload and key. */
  readonly #extraBytes: number
  #value: T | undefined
  #id: string | undefined
  #controller: AbortController | undefined

  constructor(assignment: PartitionAssignment, fields: DeliveryFields) {
    this.assignment = assignment
    this.#extraBytes = 64 + (fields.extraBytes ?? 0)
    this.#id = arrivedId(fields.id)
    this.key = arrivedKey(fields.key)
    this.bytes = fields.payload
    let { headers } = fields
    let leftOut = 0
    if (!areWithinLimits(headers)) ({ headers, leftOut } = boundedHeaders(headers))
    this.headersLeftOut = leftOut
    this.onlyGroup = headers[ROUTING_HEADERS.onlyGroup]
    const isRouted = this.onlyGroup !== undefined || headers[ROUTING_HEADERS.replayed] !== undefined
    this.headers = isRouted ? withoutRouting(headers) : headers
    this.timestamp = arrivedTimestamp(fields.timestamp, fields.brokerTimestamp)
    this.position = fields.position
    this.replyTo = arrivedReplyTo(fields.replyTo)
    this.native = fields.native
    this.form = fields.form
    this.attempt = arrivedAttempts(fields.priorAttempts)
    this.isolated = fields.wasAtWork ?? false
    this.suspect = this.isolated || (fields.suspect ?? false)
    this.unanswered = fields.unanswered ?? 0
  }

  get id(): string {
    this.#id ??= `${this.origin}/${this.assignment.partition}/${this.position}`
    return this.#id
  }

  get topic(): string {
    return this.assignment.topic
  }

  /** @internal The topic's name for every service that uses it: `TopicSpec.origin`. */
  get origin(): string {
    return this.assignment.origin ?? this.assignment.topic
  }

  get partition(): number {
    return this.assignment.partition
  }

  get epoch(): number {
    return this.assignment.epoch
  }

  get offset(): string {
    return String(this.position)
  }

  get value(): T {
    return this.#value as T
  }

  set value(value: T) {
    this.#value = value
    this.decoded = true
  }

  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    return this.#controller.signal
  }

  /** Bytes that count for the inbox's limit. */
  get size(): number {
    return (this.bytes?.length ?? 0) + (this.key?.length ?? 0) + this.#extraBytes
  }

  /** @internal A reply can't be delivered: the reply address belongs to another system. */
  get unanswerable(): boolean {
    return this.responder instanceof Unanswerable
  }

  /** @internal Bytes beside payload and key. */
  get extraBytes(): number {
    return this.#extraBytes
  }

  /** @internal */
  abort(reason: StreamError): void {
    // A signal that hasn't been read yet must still be aborted when it is.
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }

  /** @internal A new handler start gets a fresh signal. */
  renewSignal(): void {
    if (this.#controller?.signal.aborted === true) this.#controller = undefined
  }

  /** @internal Takes a start back: it isn't counted, and its state is reset for the next one. */
  unstart(): void {
    this.attempt -= 1
    this.timedOut = false
    this.nacked = undefined
    this.renewSignal()
  }

  ack(): Promise<void> {
    if (this.partitionState === undefined) return unbound(this, 'ack')
    return this.partitionState.owner.acknowledge(this, this.partitionState)
  }

  nack(reason?: unknown): Promise<void> {
    if (this.partitionState === undefined) return unbound(this, 'nack')
    return this.partitionState.owner.negativeAcknowledge(this, this.partitionState, reason)
  }

  respond(part: unknown): Promise<void> {
    if (this.partitionState === undefined) return unbound(this, 'respond')
    return this.partitionState.owner.respond(this, part)
  }
}

function unbound(delivery: Delivery, operation: string): Promise<never> {
  const { topic } = delivery
  const rejected = Promise.reject(
    new StreamError('the message was not delivered by a consumer loop', { code: 'INVALID_ARGUMENT', topic, operation }),
  )
  rejected.catch(() => {})
  return rejected
}

/** The headers that handlers see and may forward. */
function withoutRouting(headers: Headers): Headers {
  const { [ROUTING_HEADERS.onlyGroup]: _group, [ROUTING_HEADERS.replayed]: _replayed, ...rest } = headers
  return rest
}
