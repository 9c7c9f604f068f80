import { FetchBudget } from '@streamswitch/core/driver'
import type { UnreadablePartitions } from './unreadable-partitions.js'

/** What outlives the connections of a member. */
export interface MemberMemory {
  /** The id it had when its connection broke: coming back under it spares the group the wait for its session. */
  id: string | undefined
  readonly fetchBudget: FetchBudget
  readonly unreadable: UnreadablePartitions
}

/** A fetch takes a quarter of a deadline: the broker answers a connection's requests in turn, the next heartbeat after the whole fetch. */
const SHARE_OF_FETCHES = 4

/** The budget of fetches that must be over within these times, in milliseconds, with what comes behind them. */
export function fetchBudget(maxBytes: number, ...deadlinesMs: readonly number[]): FetchBudget {
  return new FetchBudget(maxBytes, Math.min(...deadlinesMs) / SHARE_OF_FETCHES)
}
