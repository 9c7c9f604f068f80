import { FetchBudget } from '@streamswitch/core/driver'
import type { UnreadablePartitions } from './unreadable-partitions.js'

/** State of a member that persists across its connections. */
export interface MemberMemory {
  /** The id it had when its connection broke: rejoining under it spares the group the wait for its session. */
  id: string | undefined
  readonly fetchBudget: FetchBudget
  readonly unreadable: UnreadablePartitions
}

/** A fetch takes a quarter of a deadline: the broker answers a connection's requests in turn, the next heartbeat after the whole fetch. */
const SHARE_OF_FETCHES = 4

/** Returns the budget of fetches that must be over within these times, in milliseconds, with what follows them. */
export function fetchBudget(maxBytes: number, ...deadlinesMs: readonly number[]): FetchBudget {
  return new FetchBudget(maxBytes, Math.min(...deadlinesMs) / SHARE_OF_FETCHES)
}
