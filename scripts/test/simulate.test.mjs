import { describe, expect, test } from 'vitest'
import { simulationOptions } from '../simulate.mjs'

describe('simulate', () => {
  test('2,000 runs from seed 1 for all protocols, unless told otherwise', () => {
    expect(simulationOptions([])).toEqual({ seed: 1, runs: 2_000, names: [] })
    expect(simulationOptions(['--seed', '7', '--runs', '200000', 'rabbitmq-stream'])).toEqual({
      seed: 7,
      runs: 200_000,
      names: ['rabbitmq-stream'],
    })
  })

  test('bad numbers are reported together', () => {
    expect(() => simulationOptions(['--seed', 'x', '--runs', '0'])).toThrow(/--seed .* got 'x'; --runs .* got '0'/)
  })
})
