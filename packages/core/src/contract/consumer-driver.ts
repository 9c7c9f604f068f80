import type { Delivery } from '../consumer/delivery.js'
import type { MarkSettlement } from '../dedupe/dedupe-store.js'
import type { StreamError } from '../errors.js'

/**
 * A partition in the hands of this member, from one assignment to its revocation. Drivers make one object per assignment and use
 * the same object in every call about it: identity is what tells assignments apart. Transports without partitions use a single
 * one with number 0.
 */
export interface PartitionAssignment {
  /** The topic as the user names it, without prefix. */
  readonly topic: string
  /** `TopicSpec.origin`: what messages without an id get one from. Default: `topic`. */
  readonly origin?: string
  readonly partition: number
  /** Rises with each assignment of this partition within the group where the broker knows it (Kafka generation, lease epoch), else within the process. */
  readonly epoch: number
}

/**
 * Core's side of a consumer driver. All calls are cheap, and but for `outOfRange` never throw. After `ConsumerDriver.close` they are ignored.
 */
export interface ConsumerSink {
  /** Partitions now belong to this member. Call before the first `deliver` of them; `open` may call it. */
  assigned(partitions: readonly PartitionAssignment[]): void

  /**
   * Partitions go away.
   * - `graceful`: the driver still holds them. Core starts nothing new, lets running handlers finish (bounded by `deadlineMs`,
   *   after which it aborts their signals), flushes acks through the driver, then resolves. Only then may the driver let go.
   * - `lost`: somebody else may own them already. Core aborts the handlers' signals and drops everything at once.
   */
  revoked(partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost', deadlineMs?: number): Promise<void>

  /**
   * Hands over deliveries of one partition, in order. Returns `undefined` while there is room; otherwise a promise that
   * resolves when there is room again (or the loop stops, or the partition is revoked): deliver nothing more of this partition
   * before that, but keep the broker's heartbeats going. The batch given is always taken whole, so keep batches near
   * {@link ConsumerSink.capacity}. Nothing is copied: don't reuse the buffers.
   */
  deliver(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined

  /** How many more deliveries of this partition fit now, at least 0: a fetch size for drivers that pull. */
  capacity(assignment: PartitionAssignment): number

  /** The connection is gone for good. Core revokes everything as lost, closes this driver and opens a fresh one after a backoff. Called once at most. */
  lost(error: unknown): void

  /**
   * A position (of `from`, of `seek`, or the group's own) lies outside of what a partition holds. Core reports it and answers where
   * to go on. Throws, the only one here that does, where the loop is to end: leave the partition as it is, and let the error pass.
   */
  outOfRange(where: OutOfRange): 'earliest' | 'latest'

  /**
   * What comes next in a partition can't be read (no decoder is installed, the bytes are damaged, a bound is exceeded). Say in the error
   * which offsets and what is missing. Core reports it once, shows it in health, and answers what the loop's `errorPolicy` says:
   * - `wait`: keep the partition and its offset, let all others go on, and read again with a growing backoff. Call {@link partitionResumed} once that succeeds.
   * - `skip`: leave out what can't be read and go on behind it.
   *
   * Call it at every failed try; only the first one is reported.
   */
  partitionStopped(assignment: PartitionAssignment, error: unknown): 'wait' | 'skip'

  /** A partition that had stopped can be read again. Ignored for one that hadn't. */
  partitionResumed(assignment: PartitionAssignment): void

  /** `from` was not applied to partitions of a topic, since the group has a position there. Core tells the user, once per loop and topic. */
  startIgnored(topic: string): void

  /**
   * The broker has removed a message of this group without its ack (a delivery limit, a TTL, a queue limit) and handed it to the
   * driver. Core writes it to the dead letters, where the loop has some, then reports it. Resolves once it is written; rejects when
   * `signal` aborts. The delivery need not belong to a current assignment. Missing in sinks that don't take such messages.
   */
  dropped?(delivery: Delivery, error: StreamError, signal: AbortSignal): Promise<void>

  /** Something to tell the user that needs no action by core (a topic that was recreated, entries that were trimmed unread). */
  report(error: unknown): void
}

/** What a position may be given as, in `from` and `seek`. */
export type StartPosition = 'earliest' | 'latest' | { readonly offset: string } | { readonly timestamp: number }

/** A position for some partitions of each topic; the others start as if none was given. */
export interface PartitionPositions {
  readonly partitions: ReadonlyMap<number, StartPosition>
}

/** What a start says of one partition; `undefined` where it says nothing. */
export function startOf(
  from: StartPosition | PartitionPositions | undefined,
  partition: number,
): StartPosition | undefined {
  return typeof from === 'object' && 'partitions' in from ? from.partitions.get(partition) : from
}

/** A position that lies outside of what a partition holds. */
export interface OutOfRange {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  /** The offsets of the oldest and the newest message, as the transport writes them; `undefined` where there is none. */
  readonly first: string | undefined
  readonly last: string | undefined
}

/**
 * Remembers beyond the end of a process what messages have been through. A driver that declares `attemptsSurviveRestart` has it.
 *
 * It keeps one number for a message, its note, until the message is acked; what that says is core's business. With whatever comes again
 * the driver hands over what the note says (`historyOf(note)` gives the fields of a delivery), and `suspect` for all that was in the
 * hands of a member that ended without a word, whether it was at work or only prefetched.
 *
 * Such messages run as usual, with their starts noted. Those that are found to have been at work when the process ended once more run
 * one at a time in the whole process, and only what ends it then is charged with that.
 */
export interface AttemptJournal {
  /** Durably keeps the note of a message that is about to start. Called before its handler is, for several messages at once. */
  starting(assignment: PartitionAssignment, delivery: Delivery, note: number): Promise<void>
  /**
   * Durably keeps the note of a message that is not at work: before the backoff of a failed attempt starts, where its ack has to wait, where
   * its start was taken back, and where a clean stop or a hand-over waits for its handler no longer.
   */
  failed(assignment: PartitionAssignment, delivery: Delivery, note: number): Promise<void>
}

/** Lag of one partition for one group. */
export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** Messages that the group has not finished: undelivered, waiting and in flight. */
  readonly lag: number
  /** Messages that were delivered and are not acked. */
  readonly unacked?: number
}

/**
 * Receives the records of one subscription for one member of a group. Written by adapters, called by core only.
 *
 * Like {@link ProducerDriver}, a driver lives for one connection: no reconnecting, no retries of handlers, no dead letters in
 * here. Calls for different partitions may overlap; for one partition core waits for one `ack`/`commit` before the next.
 */
export interface ConsumerDriver {
  /**
   * How work is settled.
   * - `individual`: `ack` gets the deliveries that are done, in any order.
   * - `cumulative`: `commit` gets the last delivery of the contiguous prefix that is done.
   */
  readonly settlement: 'individual' | 'cumulative'
  /**
   * Who makes a failed message come again. `core`: in process, with backoff, then the dead-letter topic. `sender`: `reject` gives
   * the failure back to the sender, which retries (HTTP).
   */
  readonly redelivery: 'core' | 'sender'
  /** Shortest time between two settlements of a partition, in milliseconds; 0 settles at the end of the current turn of the event loop. */
  readonly settleIntervalMs: number

  readonly attempts?: AttemptJournal | undefined

  /** `settlement: 'individual'`, where a dedupe store may keep its marks on the server that acks go to. Left out: marks are made before the ack. */
  readonly marks?: MarkSettlement

  /** As in {@link ProducerDriver.waitingFor}. */
  readonly waitingFor?: string | undefined

  /**
   * Connects, makes or checks topic and group, joins, and starts the intake. Resolves when this member has joined (its first
   * assignment, if only an empty one, has been reported), so that a sender who waits for it loses nothing. Rejects with a
   * classified error. `signal`: as in {@link ProducerDriver.open}.
   */
  open(signal: AbortSignal): Promise<void>

  /**
   * `settlement: 'individual'`. A delivery with a `claim` is acked and its claim completed in one step on the server, or where the
   * claim is another's by now its `refusal` is set. Resolves when the broker has taken it; rejects with a classified error. When it turns out that the partition belongs to somebody else, report it as revoked (`lost`) and reject with ABORTED.
   */
  ack?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /**
   * `settlement: 'individual'`. As `ack`, and deletes the records from the topic, for every group, where the broker can. Called for dead
   * letters that were replayed or discarded. Left out: `ack`.
   */
  remove?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /** `settlement: 'cumulative'`. Everything up to and including this delivery is done. Errors as in `ack`. */
  commit?(assignment: PartitionAssignment, last: Delivery): Promise<void>

  /**
   * `redelivery: 'sender'`. Answers the sender with the failure. `retryAfterMs`: how long it should wait before it sends the message
   * again, as the loop's `retry` says; `undefined` when it shouldn't, since no attempt is left or none can help.
   */
  reject?(
    assignment: PartitionAssignment,
    delivery: Delivery,
    error: unknown,
    retryAfterMs: number | undefined,
  ): Promise<void>

  /** Gives back deliveries that won't be handled here (no handler of theirs runs), so that another member gets them at once where the broker can. Called during close and after a graceful revocation. Never rejects. */
  release?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /**
   * Moves a partition to a position. Core has drained the assignment and forgotten it, as after a graceful revocation; the driver
   * drops what it has fetched, moves the group's position, and reports the partition as assigned again, by a new object, before
   * it delivers from there on.
   */
  seek?(assignment: PartitionAssignment, position: StartPosition): Promise<void>

  /** Lag of the group, for every partition of the subscription. */
  lag?(): Promise<readonly PartitionLag[]>

  /**
   * How many messages of each of its partitions this driver could have handed over by now and has not. The stall watch replaces a driver
   * that delivers nothing while this is above 0. For transports whose lag also counts what is never delivered (markers of
   * transactions, gaps of compaction). Default: `lag`, less what was delivered and is unsettled.
   */
  readonly undelivered?: (() => Promise<ReadonlyMap<PartitionAssignment, number>>) | undefined

  /** Ends the intake: nothing is delivered after it resolves. Acks still work. Never rejects. */
  stop(): Promise<void>

  /** As in {@link ProducerDriver}. */
  probe?(): Promise<void>

  /** Leaves the group and releases everything. As in {@link ProducerDriver}: never rejects, never hangs. */
  close(): Promise<void>
}
