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

/** What a driver knows of a record that it received: raw values, as the record has them. {@link Delivery} brings them within the limits of sending. */
export interface DeliveryFields {
  /** `undefined` or empty for a foreign message without one. */
  readonly id: string | undefined
  readonly key: string | undefined
  /** `undefined` is a tombstone. */
  readonly payload: Buffer | undefined
  /** The user's headers, and those of a dead letter. Other reserved ones have been taken out, binary ones are in `native`. */
  readonly headers: Headers
  /** What the sender says, in milliseconds since the epoch: a number, bigint, decimal digits or a `Date`. Anything else counts as not said. */
  readonly timestamp: unknown
  /** What the broker says, in the same forms; counts where the sender says nothing. Default: now. */
  readonly brokerTimestamp?: unknown
  /**
   * Bytes that the record takes in this process beside payload and key: a long id, headers, what only `native` shows. Counts for the inbox's limit, so that
   * large headers can't fill the memory. Default 0.
   */
  readonly extraBytes?: number
  /** The transport's own position, as it needs it to settle; shown to users as text. */
  readonly position: string | number | bigint
  readonly replyTo?: string | undefined
  readonly native: unknown
  /** What `native` is, so that the message can be passed on as it came. Default: it holds nothing beyond these fields. */
  readonly form?: NativeForm
  /** Handler starts of this message in this group that are on record, by this or an earlier process. Default 0. */
  readonly priorAttempts?: number
  /** Earlier sendings of which nobody knows whether they started a handler: at 3 times `retry.attempts` of them it is started no more. Default 0. */
  readonly unanswered?: number
  /** It was delivered to a member that died: its starts are noted. Default false. */
  readonly suspect?: boolean
  /** It was noted as being at work when that member died: it is handled alone. Default false. See `historyOf`. */
  readonly wasAtWork?: boolean
}

/**
 * Where a message stands. Every way from its delivery to its end, and who takes it there; `test/support/consumer-model/transitions.ts`
 * has the same as data, by which random histories are checked:
 *
 * | from | to | when |
 * |---|---|---|
 * | Waiting | Running | its turn has come (`Dispatcher`) |
 * | | Settled | it is for another group alone; it is skipped by the error policy (`Outcomes`) |
 * | | Dropped | its partition is gone (`AssignedPartitions`) |
 * | Running | Settled | its handler has succeeded, with `ack: 'auto'`; `ack()` was called (`Outcomes`) |
 * | | Retrying | the attempt has failed, and another one or the skipping is due after a backoff (`Failures`) |
 * | | GivenUp | the attempt has failed, and was the last one (`Failures`) |
 * | | Waiting | the start was taken back: the handler was never called, or its batch goes on without it (`Dispatcher`) |
 * | | Dropped | its partition is gone, or the loop ends with its error |
 * | Retrying | Waiting | the backoff is over |
 * | | Dropped | its partition is gone |
 * | GivenUp | Settled | its dead letter is confirmed |
 * | | Dropped | its sender was told of the failure; its partition is gone |
 * | Settled | Acked | the broker has taken the ack (`Settler`) |
 * | | Dropped | the ack can't be sent any more, or was refused for good (`Settler`) |
 * | | Running, Waiting | the ack was to make its mark, and found that another member had taken it over (`Outcomes`) |
 *
 * Acked and Dropped are ends. What is dropped comes again, here or elsewhere, as another delivery.
 */
export const DeliveryState = {
  /** In the inbox, or behind another message of its key. */
  Waiting: 0,
  /** Its handler is at work, or has returned and `ack()` is waited for. */
  Running: 1,
  /** Failed, to be started again after its backoff. */
  Retrying: 2,
  /** Failed for good: on its way to the dead letters, or back to its sender. */
  GivenUp: 3,
  /** Done or dead-lettered; the ack may still be on its way. */
  Settled: 4,
  /** The broker has taken the ack. */
  Acked: 5,
  /** Given up by this member: its partition went away, its failure was given back to the sender, or its ack was refused. */
  Dropped: 6,
} as const

export type DeliveryState = (typeof DeliveryState)[keyof typeof DeliveryState]

/**
 * One received record: what drivers make, the dispatcher carries and handlers see as {@link Message}. A single object per
 * message.
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
  /** What the adapter has of the record as it came, where it keeps that. */
  readonly form: NativeForm | undefined
  /** It was delivered to a member that died: a driver notes its starts. */
  suspect: boolean
  /** @internal Nothing else of the process may be at work while it is. */ isolated: boolean
  /** @internal */ readonly unanswered: number
  /** @internal The one group that handles it; `undefined`: every group. */ readonly onlyGroup: string | undefined
  /** @internal Headers that arrived and are beyond the limits: `native` alone has them. */
  readonly headersLeftOut: number
  attempt: number
  /** This member's hold on the message, with `dedupe`. A driver that finds one on a delivery it is to ack completes it, in the same step: see `ConsumerDriver.ack`. */
  claim: DedupeClaim | undefined = undefined
  /** Set by such a driver where the claim was another's by then. `done`: that one has finished the message, which is acked all the same. `busy`: it is at work on it, and nothing was acked. */
  refusal: 'done' | 'busy' | undefined = undefined
  /** @internal */ state: DeliveryState = DeliveryState.Waiting
  /** @internal */ partitionState: PartitionState | undefined = undefined
  /** @internal The next message of the same key, waiting for this one. */ nextOfKey: Delivery | undefined = undefined
  /** @internal The dispatcher's clock when the handler started. */ startedTick = 0
  /** @internal Counts handler starts, so that a late end of an earlier one is told apart. */ run = 0
  /** @internal The handler has not returned yet, whatever was settled meanwhile. */ handling = false
  /** @internal Its mark is on its way to the dedupe store. */ completing = false
  /** @internal The group had handled it before. */ duplicate = false
  /** @internal How often it was put off. */ postponed = 0
  /** @internal Settled by its handler, which has not returned, while an earlier message holds its ack up. */ behind = false
  /** @internal Its handler no longer counts for `concurrency`. */ slotless = false
  /** @internal It counts for the inbox's bytes. */ counted = false
  /** @internal The value is decoded. */ decoded = false
  /** @internal What `ack()` callers wait for. */ ackWaiters:
    | { resolve: () => void; reject: (error: StreamError) => void }[]
    | undefined = undefined
  /** @internal The reason of a `nack()` during the handling. */ nacked: { readonly reason: unknown } | undefined =
    undefined
  /** @internal The handler has had its time: whatever it does now, the attempt has failed. */ timedOut = false
  /** @internal Answers the request, where it is one and its handler has been started. */ responder:
    | Answering
    | undefined = undefined
  /** What it takes beside payload and key. */
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

  /** @internal What the topic is called for every service that uses it: `TopicSpec.origin`. */
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

  /** @internal A reply would reach nobody: there is a reply address, and it is another system's. */
  get unanswerable(): boolean {
    return this.responder instanceof Unanswerable
  }

  /** @internal Bytes beside payload and key. */
  get extraBytes(): number {
    return this.#extraBytes
  }

  /** @internal */
  abort(reason: StreamError): void {
    // A signal that nobody has looked at yet must still be aborted when somebody does.
    this.#controller ??= new AbortController()
    this.#controller.abort(reason)
  }

  /** @internal A new handler start gets a fresh signal. */
  renewSignal(): void {
    if (this.#controller?.signal.aborted === true) this.#controller = undefined
  }

  /** @internal Takes a start back: it is not counted, and leaves nothing behind for the next one. */
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
    new StreamError('the message was not delivered by a loop', { code: 'INVALID_ARGUMENT', topic, operation }),
  )
  rejected.catch(() => {})
  return rejected
}

/** What handlers see, and may send on. */
function withoutRouting(headers: Headers): Headers {
  const { [ROUTING_HEADERS.onlyGroup]: _group, [ROUTING_HEADERS.replayed]: _replayed, ...rest } = headers
  return rest
}
