import { extendDigest } from './digest.js'
import type { Alert, Departure } from './flight.js'
import { EMPTY_LEDGER, note, type SequenceLedger } from './sequence-ledger.js'

/** How many departures the moving average covers. */
const WINDOW = 20
/** The moving average, in minutes, above which an airport gets an alert. */
const THRESHOLD_MINUTES = 20

/** What is kept per airport. `version` rises by one with each change: the store refuses a change that is based on an old state. */
export interface AirportState {
  readonly version: number
  readonly ledger: SequenceLedger
  /** Over everything noted so far, in the order in which it was noted. */
  readonly digest: string
}

/** The running statistics of an airport. */
export interface DelayState extends AirportState {
  readonly delayMinutes: number
  /** Delays of the latest departures, oldest first. */
  readonly recent: readonly number[]
  readonly aboveThreshold: boolean
  readonly alerts: number
}

export const NO_DELAYS: DelayState = {
  version: 0,
  ledger: EMPTY_LEDGER,
  digest: '',
  delayMinutes: 0,
  recent: [],
  aboveThreshold: false,
  alerts: 0,
}

export const NO_ALERTS: AirportState = { version: 0, ledger: EMPTY_LEDGER, digest: '' }

/** Notes a departure that the state has not seen: the state that follows, and the alert that is due, if one is. */
export function withDeparture(
  state: DelayState,
  departure: Departure,
): { state: DelayState; alert: Alert | undefined } {
  const recent = [...state.recent.slice(1 - WINDOW), departure.delay]
  const averageMinutes = recent.reduce((sum, delay) => sum + delay, 0) / recent.length
  const aboveThreshold = recent.length === WINDOW && averageMinutes > THRESHOLD_MINUTES
  // One alert when the average passes the threshold, none while it stays above.
  const isDue = aboveThreshold && !state.aboveThreshold
  const alerts = state.alerts + (isDue ? 1 : 0)
  const { origin, sequence, date, delay, distance, destination } = departure
  return {
    state: {
      version: state.version + 1,
      ledger: note(state.ledger, sequence),
      digest: extendDigest(state.digest, [sequence, date, delay, distance, destination]),
      delayMinutes: state.delayMinutes + delay,
      recent,
      aboveThreshold,
      alerts,
    },
    alert: isDue ? { airport: origin, sequence: alerts, departure: sequence, averageMinutes } : undefined,
  }
}

/** Notes an alert that the state has not seen. */
export function withAlert(state: AirportState, alert: Alert): AirportState {
  return {
    version: state.version + 1,
    ledger: note(state.ledger, alert.sequence),
    digest: extendDigest(state.digest, [alert.sequence, alert.departure, alert.averageMinutes]),
  }
}

/** How many different records the state has noted. */
export function notedCount({ ledger }: AirportState): number {
  return ledger.contiguous + ledger.ahead.length
}
