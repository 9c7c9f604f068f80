import { describe, expect, test } from 'vitest'
import { fuzzOptions } from '../fuzz.mjs'

describe('fuzz', () => {
  test('a minute for each target of all packages, with a random seed, by default', () => {
    expect(fuzzOptions([])).toEqual({ minutes: 1, seed: undefined, names: [] })
    expect(fuzzOptions(['kafka/fetch-response', 'redis', '--minutes', '0.5', '--seed', '7'])).toEqual({
      minutes: 0.5,
      seed: 7,
      names: [
        { name: 'kafka', target: 'fetch-response' },
        { name: 'redis', target: undefined },
      ],
    })
  })

  test('bad numbers are reported together', () => {
    expect(() => fuzzOptions(['--seed', 'x', '--minutes', '0'])).toThrow(/--minutes .* got '0'; --seed .* got 'x'/)
  })
})
