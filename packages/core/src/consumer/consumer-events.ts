import type { PartitionAssignment, RemovedRange } from '../contract/consumer-driver.js'
import type { StreamError } from '../errors.js'
import type { StoppedPartition } from './stopped-partitions.js'

export interface ConsumerEvents {
  /** Partitions were assigned to this member. Also emitted, with an empty list, when it joined without a partition. */
  assigned: { readonly partitions: readonly PartitionAssignment[] }
  /** Partitions were revoked from this member. `graceful`: its acks for them have been sent; `lost`: they are void. */
  revoked: { readonly partitions: readonly PartitionAssignment[]; readonly how: 'graceful' | 'lost' }
  /** Connected: for the first time, or `again`. */
  ready: { readonly again: boolean }
  /** The connection was lost; the loop is reconnecting. */
  reconnecting: { readonly error: StreamError }
  /**
   * A partition makes no progress. `window`: it accepts no more messages, since `maxAheadMessages` wait behind
   * `unsettled` ones. `delivery`: the broker has messages but the transport delivered none for `stallTimeoutMs`; the
   * connection is replaced. `stopped`: the next message can't be read, or a dead letter can't be written; it is
   * retried, and an `error` event has the reason.
   */
  stalled: {
    readonly topic: string
    readonly partition: number
    readonly reason: 'window' | 'delivery' | 'stopped'
    readonly unsettled: number
    /** Messages due for delivery; 0 with `window`, and when the broker doesn't report it. */
    readonly backlog: number
  }
  /** A stalled partition makes progress again. */
  recovered: { readonly topic: string; readonly partition: number; readonly reason: 'window' | 'delivery' | 'stopped' }
  /**
   * With `ack: 'manual'`: the handler of a message has returned, and neither `ack()` nor `nack()` was called for
   * `unackedTimeoutMs`. Its key waits. Once per message.
   */
  unacked: { readonly id: string; readonly topic: string; readonly partition: number; readonly offset: string }
  /** A message was written to the dead letters. */
  deadLetter: { readonly id: string; readonly topic: string; readonly attempts: number; readonly error: unknown }
  /**
   * With `dedupe`: a message that its group had already handled was received again. It is acked without calling a
   * handler.
   */
  deduplicated: { readonly id: string; readonly topic: string; readonly partition: number; readonly offset: string }
  /** With `dedupe`: another member finished a message or took it over while a handler of this loop was running for it. */
  conflict: { readonly id: string; readonly topic: string; readonly error: StreamError }
  /**
   * The broker removed a message of this group without an ack, for the reason in `error`: a policy's delivery limit,
   * TTL or queue limit. `deadLettered`: the message is in the dead letters.
   */
  dropped: {
    readonly id: string
    readonly topic: string
    readonly partition: number
    readonly deadLettered: boolean
    readonly error: StreamError
  }
  /**
   * Messages of this group are gone before it had them: retention was faster, or somebody deleted them. The group would have read on at
   * offset `from` (on Redis behind it), and reads on at `to`. `messages`: how many are gone, at most, since some offsets may have been
   * the broker's own records. All three are `undefined` where they aren't known.
   */
  removed: RemovedRange
  /** A message that could not be handled was skipped (`errorPolicy: 'restart'`). */
  skipped: { readonly id: string; readonly topic: string; readonly attempts: number; readonly error: unknown }
  /**
   * from` was not applied to a topic: the group already has a committed `position` there, or partitions that it names
   * are `unassigned` to this member.
   */
  startIgnored: { readonly topic: string; readonly reason: 'position' | 'unassigned' }
  /** An error that no call could reject with. Logged when there is no listener. */
  error: StreamError
}

/** Statistics of a loop. Counters start at 0 with the loop. */
export interface ConsumerStats {
  readonly received: number
  /** Messages whose handler succeeded. */
  readonly handled: number
  readonly retried: number
  readonly deadLettered: number
  /** Messages of the group that the broker removed without an ack, as far as this loop has reported them. */
  readonly dropped: number
  /**
   * Messages of the group that were removed before it had them, at most: see the event `removed`.
   */
  readonly removed: number
  /**
   * With `dedupe`: messages that the group had already handled, and handler runs whose message another member finished
   * or took over.
   */
  readonly deduplicated: number
  readonly conflicts: number
  /** Messages that `errorPolicy: 'restart'` skipped. */
  readonly skipped: number
  readonly acked: number
  /** Handlers that finished after their partition was reassigned or their message was given up. */
  readonly overlaps: number
  readonly running: number
  /** Messages received and not started. */
  readonly waiting: number
  /** Messages received and not settled. */
  readonly unsettled: number
  readonly inboxBytes: number
  /** With `ack: 'manual'`: messages that have waited for `ack()` longer than `unackedTimeoutMs`. */
  readonly unacked: number
  readonly partitions: number
  /** Partitions that are stopped for a cause outside of this process while the others continue, and why. */
  readonly stoppedPartitions: readonly StoppedPartition[]
  readonly reconnects: number
  readonly connected: boolean
  /** The broker has messages but the transport delivers none: see `stallTimeoutMs`. */
  readonly stalled: boolean
  /** Since when, in milliseconds since the epoch, and why. `undefined` unless `stalled`. */
  readonly stalledSince: number | undefined
  readonly stallReason: string | undefined
  /**
   * What keeps messages from being started, if anything: `transport` (stalled), `paused`, `window` (`maxAheadMessages`
   * unsettled), `handlers` (all of `concurrency` running while others wait).
   */
  readonly heldUpBy: 'transport' | 'paused' | 'window' | 'handlers' | undefined
}
