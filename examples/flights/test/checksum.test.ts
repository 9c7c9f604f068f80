import { describe, expect, it } from 'vitest'
import { checksum, expectedBooks } from '../src/checksum.js'
import type { Departure } from '../src/flight.js'
import { readDepartures } from '../src/flight-data.js'

const departures = readDepartures(2_000)

/** The departures with two of one airport in each other's place. */
function swapped(airport: string): Departure[] {
  const result = [...departures]
  const [first = -1, second = -1] = result.flatMap(({ origin }, index) => (origin === airport ? [index] : []))
  const [one, other] = [result[first], result[second]]
  if (one === undefined || other === undefined) throw new Error(`${airport} has fewer than two departures`)
  result[first] = other
  result[second] = one
  return result
}

describe('checksum', () => {
  it('is the same for the same history', () => {
    expect(checksum(expectedBooks(departures))).toBe(checksum(expectedBooks(departures)))
  })

  it('changes when two departures of one airport are handled in the wrong order', () => {
    const airports = [...new Set(departures.map(({ origin }) => origin))].filter(
      (airport) => departures.filter(({ origin }) => origin === airport).length >= 2,
    )
    const right = checksum(expectedBooks(departures))
    expect(airports.length).toBeGreaterThan(50)
    for (const airport of airports) expect(checksum(expectedBooks(swapped(airport)))).not.toBe(right)
  })

  it('changes when a departure is missing or comes twice', () => {
    const right = checksum(expectedBooks(departures))
    expect(checksum(expectedBooks(departures.slice(0, -1)))).not.toBe(right)
    expect(checksum(expectedBooks([...departures, ...departures.slice(-1)]))).not.toBe(right)
  })

  it("doesn't depend on how the departures of different airports interleave", () => {
    const byAirport = departures.toSorted((left, right) => left.origin.localeCompare(right.origin))
    expect(checksum(expectedBooks(byAirport))).toBe(checksum(expectedBooks(departures)))
  })
})
