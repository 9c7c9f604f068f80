import { simulate, simulateMany } from '@streamswitch/testkit/simulation'
import { describe, expect, test } from 'vitest'
import { amqp } from './amqp.js'
import { copyWithout, MUTANTS } from './mutants.js'
import { loadSources } from './sources.js'

// Errors are made by the thousand, and nobody reads where.
Error.stackTraceLimit = 0

const RUNS = 2_000

describe('the simulation finds when', () => {
  test.each(MUTANTS)('$name', { timeout: 0 }, async (mutant) => {
    const copy = copyWithout(mutant)
    try {
      const protocol = amqp(await loadSources(copy.folder))
      // The seed that found it last, first: any other will do.
      const { violations } = await simulate(protocol, mutant.seed)
      if (violations.length > 0) return
      const { failed } = await simulateMany(protocol, 1, RUNS)
      expect(failed?.violations, `${RUNS} runs without a finding`).not.toBeUndefined()
    } finally {
      copy.remove()
    }
  })
})
