import type { Delivery } from '../consumer/delivery.js'
import type { MarkSettlement } from '../dedupe/dedupe-store.js'
import type { StreamError } from '../errors.js'

/**
 * A partition assigned to this member, from one assignment to its revocation. Drivers create one object per assignment
 * and use the same object in every call about it: assignments are distinguished by identity. Transports without
 * partitions use a single one with number 0.
 */
export interface PartitionAssignment {
  /** The topic's name as the user gave it, without prefix. */
  readonly topic: string
  /** TopicSpec.origin`: part of generated message ids. Default: `topic`. */
  readonly origin?: string
  readonly partition: number
  /**
   * Increases with each assignment of this partition: within the group where the broker tracks it (Kafka generation,
   * lease epoch), else within the process.
   */
  readonly epoch: number
}

/**
 * Core's side of a consumer driver. All calls are cheap and, except `outOfRange`, never throw. After
 * `ConsumerDriver.close` they are ignored.
 */
export interface ConsumerSink {
  /** Partitions were assigned to this member. Call it before their first `deliver`; `open` may call it. */
  assigned(partitions: readonly PartitionAssignment[]): void

  /**
   * Partitions are revoked.
   * - `graceful`: the driver still holds them. Core starts nothing new, waits for running handlers (up to `deadlineMs`,
   *   after which it aborts their signals), flushes acks through the driver, then resolves. Only then may the driver
   *   release them.
   * - `lost`: another member may already own them. Core aborts the handlers' signals and drops everything immediately.
   */
  revoked(partitions: readonly PartitionAssignment[], how: 'graceful' | 'lost', deadlineMs?: number): Promise<void>

  /**
   * Hands over deliveries of one partition, in order. Returns `undefined` while there is room; otherwise a promise that
   * resolves when there is room again (or the loop stops, or the partition is revoked): deliver nothing more of this
   * partition before that, but keep the broker's heartbeats running. The batch is always accepted whole, so keep
   * batches near {@link ConsumerSink.capacity}. Nothing is copied: don't reuse the buffers.
   */
  deliver(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> | undefined

  /** Returns how many more deliveries of this partition fit now, at least 0: a fetch size for drivers that pull. */
  capacity(assignment: PartitionAssignment): number

  /**
   * The connection is permanently lost. Core revokes everything as lost, closes this driver and opens a fresh one after
   * a backoff. Call it at most once.
   */
  lost(error: unknown): void

  /**
   * An offset (of `from`, of `seek`, or the group's committed one) is outside of what a partition holds. Core reports
   * it and returns where to resume. Throws (the only call here that does) when the loop is to end: leave the partition
   * as it is, and let the error pass.
   */
  outOfRange(where: OutOfRange): 'earliest' | 'latest'

  /**
   * The next batch of a partition can't be read (no decoder is installed, the bytes are damaged, a limit is exceeded).
   * State in the error which offsets are concerned and what is missing. Core reports it once, shows it in the health
   * report, and returns the decision of the loop's `errorPolicy`:
   * - `wait`: keep the partition and its offset, continue with all others, and retry with a growing backoff. Call
   *   {@link partitionResumed} on success.
   * - `skip`: skip what can't be read and continue behind it.
   * Call it on every failed attempt; only the first one is reported.
   */
  partitionStopped(assignment: PartitionAssignment, error: unknown): 'wait' | 'skip'

  /** A stopped partition can be read again. Ignored for one that hadn't stopped. */
  partitionResumed(assignment: PartitionAssignment): void

  /**
   * from` was not applied to partitions of a topic, since the group has a committed offset there. Core reports it once
   * per loop and topic.
   */
  startIgnored(topic: string): void

  /**
   * The broker has removed a message of this group without an ack (a delivery limit, a TTL, a queue limit) and handed
   * it to the driver. Core writes it to the dead letters, if the loop has some, then reports it. Resolves once it is
   * written; rejects when `signal` aborts. The delivery need not belong to a current assignment. Missing in sinks that
   * don't accept such messages.
   */
  dropped?(delivery: Delivery, error: StreamError, signal: AbortSignal): Promise<void>

  /**
   * Messages of this group are gone before it had them: retention was faster, or somebody has deleted them. Besides
   * {@link ConsumerSink.outOfRange}, once reading goes on behind them. Core counts and reports them. Missing in sinks that need not know.
   */
  removed?(range: RemovedRange): void

  /**
   * Reports an event that needs no action by core (a topic that was recreated, entries that were trimmed unread).
   */
  report(error: unknown): void
}

/** A start offset, in `from` and `seek`. */
export type StartPosition = 'earliest' | 'latest' | { readonly offset: string } | { readonly timestamp: number }

/** A start offset for some partitions of each topic; the others use the default. */
export interface PartitionPositions {
  readonly partitions: ReadonlyMap<number, StartPosition>
}

/** Returns the start offset of one partition; `undefined` when none was given. */
export function startOf(
  from: StartPosition | PartitionPositions | undefined,
  partition: number,
): StartPosition | undefined {
  return typeof from === 'object' && 'partitions' in from ? from.partitions.get(partition) : from
}

/** An offset outside of what a partition holds. */
export interface OutOfRange {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  /** The offsets of the first and the last message, as the transport writes them; `undefined` when there is none. */
  readonly first: string | undefined
  readonly last: string | undefined
}

/**
 * Messages of a group that were removed before the group received them.
 */
export interface RemovedRange {
  readonly topic: string
  readonly partition: number
  /** The next offset of the group, as the transport writes offsets (on Redis: the last id before it); `undefined` if unknown. */
  readonly from: string | undefined
  /** The offset at which the group resumes instead; `undefined` if unknown. */
  readonly to: string | undefined
  /** Maximum number of messages removed: some offsets may have been the broker's own records. `undefined` if unknown. */
  readonly messages: number | undefined
}

/**
 * Records the attempts of messages beyond the end of a process. A driver that declares `attemptsSurviveRestart` has it.
 * It stores one number per message, its note, until the message is acked; core defines its meaning. With every
 * redelivered message the driver passes the fields of its note (by `historyOf(note)`), and `suspect` for all messages
 * that were held by a member that ended unexpectedly, whether running or only prefetched.
 * Such messages run as usual, but their starts are recorded. Those that were running when the process ended once more
 * run one at a time in the whole process, and only the one that is running when the process ends then is charged with
 * it.
 */
export interface AttemptJournal {
  /** Durably records a message that is about to start. Called before its handler, for several messages at once. */
  starting(assignment: PartitionAssignment, delivery: Delivery, note: number): Promise<void>
  /**
   * Durably records the note of a message that isn't running: before the backoff of a failed attempt starts, when its ack
   * has to wait, when its start was undone, and when a clean shutdown or rebalance no longer waits for its handler.
   */
  failed(assignment: PartitionAssignment, delivery: Delivery, note: number): Promise<void>
}

/** Lag of one partition for one group. */
export interface PartitionLag {
  readonly topic: string
  readonly partition: number
  /** Messages that the group has not finished: undelivered, waiting and in flight. */
  readonly lag: number
  /** Messages delivered and not acked. */
  readonly unacked?: number
}

/**
 * Receives the records of one subscription for one member of a group. Implemented by adapters, called by core only.
 * Like {@link ProducerDriver}, a driver lives for one connection: it doesn't reconnect, retry handlers or write dead
 * letters. Calls for different partitions may overlap; for one partition core waits for one `ack`/`commit` before the
 * next.
 */
export interface ConsumerDriver {
  /**
   * How messages are settled.
   * - `individual`: `ack` receives the finished deliveries, in any order.
   * - `cumulative`: `commit` receives the last delivery of the contiguous finished prefix.
   */
  readonly settlement: 'individual' | 'cumulative'
  /**
   * What redelivers a failed message. `core`: in process, with backoff, then the dead-letter topic. `sender`: `reject`
   * returns the failure to the sender, which retries (HTTP).
   */
  readonly redelivery: 'core' | 'sender'
  /**
   * Minimum time between two settlements of a partition, in milliseconds; 0 settles at the end of the current turn of
   * the event loop.
   */
  readonly settleIntervalMs: number

  readonly attempts?: AttemptJournal | undefined

  /**
   * With `settlement: 'individual'`, when a dedupe store may keep its entries on the server that receives the acks.
   * Default: claims are completed before the ack.
   */
  readonly marks?: MarkSettlement

  /** As in {@link ProducerDriver.waitingFor}. */
  readonly waitingFor?: string | undefined

  /**
   * Connects, creates or verifies topic and group, joins, and starts receiving. Resolves when this member has joined
   * (its first assignment, possibly empty, has been reported), so that messages sent afterwards are received. Rejects
   * with a classified error. `signal`: as in {@link ProducerDriver.open}.
   */
  open(signal: AbortSignal): Promise<void>

  /**
   * With `settlement: 'individual'`. A delivery with a `claim` is acked and its claim completed in one step on the
   * server; if another member has taken the claim over, its `refusal` is set. Resolves when the broker has confirmed
   * it; rejects with a classified error. If the partition turns out to belong to another member, report it as revoked
   * (`lost`) and reject with ABORTED.
   */
  ack?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /**
   * With `settlement: 'individual'`. As `ack`, and deletes the records from the topic, for every group, where the
   * broker can. Called for dead letters that were replayed or discarded. Default: `ack`.
   */
  remove?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /** With `settlement: 'cumulative'`. Everything up to and including this delivery is done. Errors as in `ack`. */
  commit?(assignment: PartitionAssignment, last: Delivery): Promise<void>

  /**
   * With `redelivery: 'sender'`. Answers the sender with the failure. `retryAfterMs`: how long the sender should wait
   * before it sends the message again, by the loop's `retry`; `undefined` when it shouldn't, since no attempt is left
   * or none can help.
   */
  reject?(
    assignment: PartitionAssignment,
    delivery: Delivery,
    error: unknown,
    retryAfterMs: number | undefined,
  ): Promise<void>

  /**
   * Returns deliveries that won't be handled here (none of their handlers runs), so that another member receives them
   * immediately where the broker can. Called during close and after a graceful revocation. Never rejects.
   */
  release?(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>

  /**
   * Moves a partition to an offset. Core has drained the assignment and forgotten it, as after a graceful revocation.
   * The driver drops what it has fetched, moves the group's committed offset, and reports the partition as assigned
   * again, with a new object, before it delivers from there.
   */
  seek?(assignment: PartitionAssignment, position: StartPosition): Promise<void>

  /** Returns the lag of the group, for every partition of the subscription. */
  lag?(): Promise<readonly PartitionLag[]>

  /**
   * Returns how many messages of each of its partitions this driver could have delivered by now and has not. The stall
   * watch replaces a driver that delivers nothing while this is above 0. For transports whose lag also counts what is
   * never delivered (transaction markers, gaps of compaction). Default: `lag`, less the unsettled deliveries.
   */
  readonly undelivered?: (() => Promise<ReadonlyMap<PartitionAssignment, number>>) | undefined

  /** Stops receiving: nothing is delivered after it resolves. Acks still work. Never rejects. */
  stop(): Promise<void>

  /** As in {@link ProducerDriver}. */
  probe?(): Promise<void>

  /** Leaves the group and releases everything. As in {@link ProducerDriver}: never rejects, never hangs. */
  close(): Promise<void>
}
