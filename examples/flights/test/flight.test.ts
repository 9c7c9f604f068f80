import { describe, expect, it } from 'vitest'
import { departureProblems } from '../src/flight.js'
import { readDepartures } from '../src/flight-data.js'

describe('departures', () => {
  it('of the data set have the right shape, and follow each other without gaps', () => {
    const departures = readDepartures()
    const counts = new Map<string, number>()
    expect(departures.length).toBe(20_000)
    for (const departure of departures) {
      expect(departureProblems(departure)).toEqual([])
      expect(departure.sequence).toBe((counts.get(departure.origin) ?? 0) + 1)
      counts.set(departure.origin, departure.sequence)
    }
  })

  it.each([
    ['nothing', undefined],
    ['a text', 'DFW'],
    ['an empty object', {}],
    ['a missing sequence', { ...readDepartures(1)[0], sequence: undefined }],
    ['an airport of two letters', { ...readDepartures(1)[0], origin: 'DF' }],
  ])('with %s are found wrong', (_name, value) => {
    expect(departureProblems(value)).not.toEqual([])
  })
})
