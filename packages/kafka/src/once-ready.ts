import { setTimeout as delay } from 'node:timers/promises'
import { protocolError } from './errors.js'

/** How often a call is made at most, and how long apart, in milliseconds. */
interface Patience {
  readonly attempts: number
  readonly waitMs: number
}

const UNTIL_LED: Patience = { attempts: 40, waitMs: 50 }
const UNTIL_LOADED: Patience = { attempts: 80, waitMs: 100 }

/** What brokers answer while a partition has no leader yet: right after its topic was made, or while the leader moves. */
const LEADERLESS: ReadonlySet<string> = new Set([
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'REPLICA_NOT_AVAILABLE',
  'OFFSET_NOT_AVAILABLE',
])

/** What a coordinator answers while it loads a group: after its start, and after a move. */
const LOADING: ReadonlySet<string> = new Set(['GROUP_LOAD_IN_PROGRESS'])

/** Repeats a call for about two seconds as long as it fails for want of a leader. */
export function onceLed<T>(work: () => Promise<T>, refresh?: () => Promise<unknown>): Promise<T> {
  return repeatOn(LEADERLESS, UNTIL_LED, work, refresh)
}

/** Repeats a call for about eight seconds as long as the group's coordinator loads it. */
export function onceLoaded<T>(work: () => Promise<T>): Promise<T> {
  return repeatOn(LOADING, UNTIL_LOADED, work)
}

async function repeatOn<T>(
  answers: ReadonlySet<string>,
  { attempts, waitMs }: Patience,
  work: () => Promise<T>,
  refresh?: () => Promise<unknown>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      if (attempt === attempts || !answers.has(protocolError(error) ?? '')) throw error
      await delay(waitMs)
      await refresh?.()
    }
  }
}
