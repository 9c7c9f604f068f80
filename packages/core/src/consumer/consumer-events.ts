import type { PartitionAssignment, RemovedRange } from '../contract/consumer-driver.js'
import type { StreamError } from '../errors.js'
import type { StoppedPartition } from './stopped-partitions.js'

export interface ConsumerEvents {
  /** Partitions now belong to this member. Also emitted, with an empty list, when it joined and got none. */
  assigned: { readonly partitions: readonly PartitionAssignment[] }
  /** Partitions left this member; its acks for them have been sent (`graceful`) or are void (`lost`). */
  revoked: { readonly partitions: readonly PartitionAssignment[]; readonly how: 'graceful' | 'lost' }
  /** The connection is there: for the first time, or `again`. */
  ready: { readonly again: boolean }
  /** The connection is lost; a new one is on its way. */
  reconnecting: { readonly error: StreamError }
  /**
   * A partition makes no progress. `window`: it takes no more messages, since `maxAheadMessages` wait behind unsettled ones, of which there
   * are `unsettled`. `delivery`: messages are there, and the transport hasn't delivered any for `stallTimeoutMs`; the connection is replaced.
   * `stopped`: what comes next can't be read, or a dead letter can't be written; it is tried again, and the reason is an `error` event.
   */
  stalled: {
    readonly topic: string
    readonly partition: number
    readonly reason: 'window' | 'delivery' | 'stopped'
    readonly unsettled: number
    /** Messages that should have come; 0 with `window`, and where the broker doesn't tell. */
    readonly backlog: number
  }
  /** A partition that was stalled moves again. */
  recovered: { readonly topic: string; readonly partition: number; readonly reason: 'window' | 'delivery' | 'stopped' }
  /** With `ack: 'manual'`: the handler of a message has returned, and nobody has called `ack()` or `nack()` for `unackedTimeoutMs`. Its key waits. Once per message. */
  unacked: { readonly id: string; readonly topic: string; readonly partition: number; readonly offset: string }
  /** A message went to the dead letters. */
  deadLetter: { readonly id: string; readonly topic: string; readonly attempts: number; readonly error: unknown }
  /** With `dedupe`: a message that its group had handled before came again. It is acked, and no handler is called. */
  deduplicated: { readonly id: string; readonly topic: string; readonly partition: number; readonly offset: string }
  /** With `dedupe`: another member has finished a message, or taken it over, while a handler of this loop was at work on it. */
  conflict: { readonly id: string; readonly topic: string; readonly error: StreamError }
  /**
   * The broker removed a message of this group without its ack, as `error` says: a policy's delivery limit, TTL or queue limit.
   * `deadLettered`: the message is in the dead letters.
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
  /** `from` was not applied in a topic: the group has a `position` there, or partitions that it names are `unassigned` to this member. */
  startIgnored: { readonly topic: string; readonly reason: 'position' | 'unassigned' }
  /** Something went wrong that no call could reject with. Logged where nobody listens. */
  error: StreamError
}

/** How a loop is doing. Counters start at 0 with the loop. */
export interface ConsumerStats {
  readonly received: number
  /** Messages whose handler succeeded. */
  readonly handled: number
  readonly retried: number
  readonly deadLettered: number
  /** Messages of the group that the broker removed without an ack, as far as this loop has reported them. */
  readonly dropped: number
  /** Messages of the group that were removed before it had them, at most: see the event `removed`. */
  readonly removed: number
  /** With `dedupe`: messages that the group had handled before, and handlings whose message another member has finished or taken over. */
  readonly deduplicated: number
  readonly conflicts: number
  /** Messages that `errorPolicy: 'restart'` skipped. */
  readonly skipped: number
  readonly acked: number
  /** Handlers that ended after their message had left this loop's hands. */
  readonly overlaps: number
  readonly running: number
  /** Received, not started. */
  readonly waiting: number
  /** Received, not settled. */
  readonly unsettled: number
  readonly inboxBytes: number
  /** With `ack: 'manual'`: messages that have waited for `ack()` longer than `unackedTimeoutMs`. */
  readonly unacked: number
  readonly partitions: number
  /** Partitions that wait for a cause outside of this process to pass while the others go on, and why. */
  readonly stoppedPartitions: readonly StoppedPartition[]
  readonly reconnects: number
  readonly connected: boolean
  /** Messages are there and the transport delivers none: see `stallTimeoutMs`. */
  readonly stalled: boolean
  /** Since when, in milliseconds since the epoch, and why. `undefined` unless `stalled`. */
  readonly stalledSince: number | undefined
  readonly stallReason: string | undefined
  /**
   * What keeps messages from being started, if anything does: `transport` (stalled), `paused`, `window` (`maxAheadMessages` unsettled),
   * `handlers` (all of `concurrency` at work while others wait).
   */
  readonly heldUpBy: 'transport' | 'paused' | 'window' | 'handlers' | undefined
}
