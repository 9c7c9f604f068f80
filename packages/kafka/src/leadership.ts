import { setTimeout as delay } from 'node:timers/promises'
import { protocolError } from './errors.js'

/** How often, and how long apart, leaders are asked for. */
const ATTEMPTS = 40
const WAIT_MS = 50

/** What brokers answer while a partition has no leader yet: right after its topic was made, or while the leader moves. */
const LEADERLESS: ReadonlySet<string> = new Set([
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'OFFSET_NOT_AVAILABLE',
])

/** Repeats a call for about two seconds as long as it fails for want of a leader. */
export async function onceLed<T>(work: () => Promise<T>, refresh?: () => Promise<unknown>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (attempt === ATTEMPTS || !LEADERLESS.has(protocolError(error) ?? '')) throw error
      await delay(WAIT_MS)
      await refresh?.()
    }
  }
}
