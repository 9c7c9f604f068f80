import type { Delivery, PartitionAssignment } from '@streamswitch/core/driver'

/** How the members of a group share the partitions of its topics. */
export interface Membership {
  /** Joins; resolves when the first assignment has been reported. */
  join(): Promise<void>
  /** The token that fences calls about this assignment; `undefined` when it is no longer this member's. */
  tokenOf(assignment: PartitionAssignment): string | undefined
  /** A fenced call found that the partition belongs to another member. */
  fenced(assignment: PartitionAssignment): void
  acked(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void
  /** Returns deliveries that won't be handled here. */
  release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void>
  /** Drops the assignment, lets `move` change the group, and takes the partition again. */
  restart(assignment: PartitionAssignment, move: (token: string) => Promise<void>): Promise<void>
  /** Fetches nothing more and takes no partition. */
  stop(): Promise<void>
  leave(): Promise<void>
}
