import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { Departure, Flight } from './flight.js'

const require = createRequire(import.meta.url)

/** 20,000 departures in the United States from January to March 2001, in order of time. */
const FILE = 'flights-20k.json'

/**
 * Departures from the `vega-datasets` package, each with its place among those of its airport.
 *
 * @param limit - take only so many, the earliest. Default: all.
 */
export function readDepartures(limit = Number.POSITIVE_INFINITY): Departure[] {
  // The package exports its code only; its data lies beside.
  const code = require.resolve('vega-datasets')
  const flights = JSON.parse(readFileSync(join(dirname(code), '..', 'data', FILE), 'utf8')) as Flight[]
  const counts = new Map<string, number>()
  return flights.slice(0, limit).map((flight) => {
    const sequence = (counts.get(flight.origin) ?? 0) + 1
    counts.set(flight.origin, sequence)
    return { ...flight, sequence }
  })
}
