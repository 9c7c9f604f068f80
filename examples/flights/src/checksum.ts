import { createHash } from 'node:crypto'
import type { Departure } from './flight.js'
import { type AirportState, type DelayState, NO_ALERTS, NO_DELAYS, withAlert, withDeparture } from './statistics.js'

/** What the services have written down, by airport. */
export interface Books {
  readonly delays: ReadonlyMap<string, DelayState>
  readonly alerts: ReadonlyMap<string, AirportState>
}

/**
 * One number for everything that was handled: within an airport it depends on the order, between airports it doesn't. Records
 * that came again don't count, since the books note each record once.
 */
export function checksum({ delays, alerts }: Books): string {
  const lines = [...delays.keys()]
    .toSorted()
    .map((airport) => `${airport} ${delays.get(airport)?.digest} ${alerts.get(airport)?.digest ?? ''}`)
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16)
}

/** The books that result when every departure is handled once and in order: no transport is involved. */
export function expectedBooks(departures: readonly Departure[]): Books {
  const delays = new Map<string, DelayState>()
  const alerts = new Map<string, AirportState>()
  for (const departure of departures) {
    const { origin } = departure
    const { state, alert } = withDeparture(delays.get(origin) ?? NO_DELAYS, departure)
    delays.set(origin, state)
    if (alert !== undefined) alerts.set(origin, withAlert(alerts.get(origin) ?? NO_ALERTS, alert))
  }
  return { delays, alerts }
}
