import { describe, expect, test } from 'vitest'
import { copyWithout, type Mutant } from './mutant.js'
import type { SimulatedProtocol } from './protocol.js'
import { simulate } from './simulate.js'
import { formatHistory, formatSummary, simulateMany } from './simulate-many.js'
import { COMMON_EVENTS } from './tally.js'

/** Runs in which a mutant must be found. */
const MUTANT_RUNS = 2_000

/** With so many runs, every kind of event must have happened, and every promise must have been judged. */
const ALL_KINDS_RUNS = 500

/**
 * Declares the tests of a protocol: a seed repeats a run, and no random run breaks a promise. `STREAMSWITCH_SIMULATE_SEED` (default 1) is the first
 * seed, `STREAMSWITCH_SIMULATE_RUNS` (default 2000) how many there are.
 */
export function simulations(protocol: SimulatedProtocol): void {
  const seed = Number(process.env.STREAMSWITCH_SIMULATE_SEED ?? 1)
  const runs = Number(process.env.STREAMSWITCH_SIMULATE_RUNS ?? 2_000)

  test(`${protocol.name}: a seed repeats one run exactly`, async () => {
    const [first, second] = [await simulate(protocol, seed), await simulate(protocol, seed)]
    expect(first.history.length).toBeGreaterThan(0)
    expect(second).toEqual(first)
  })

  test(`${protocol.name}: ${runs} random runs from seed ${seed} break no promise`, { timeout: 0 }, async () => {
    const summary = await simulateMany(protocol, seed, runs)
    process.stdout.write(`${formatSummary(summary)}\n`)
    if (summary.failed !== undefined) expect.fail(formatHistory(summary.failed))
    expect(summary.runs).toBe(runs)
    if (runs < ALL_KINDS_RUNS) return
    const missing = [...COMMON_EVENTS, ...protocol.events].filter((event) => summary.happened[event] === undefined)
    expect(missing, 'never happened').toEqual([])
    const unjudged = protocol.promises.filter((promise) => summary.judged[promise] === undefined)
    expect(unjudged, 'were never judged').toEqual([])
  })
}

/** What mutants are made from. */
export interface MutantSettings {
  readonly mutants: readonly Mutant[]
  /** The folder of the sources. */
  readonly sources: string
  /** Where copies go: see `copyWithout`. */
  readonly copies: string
  /** The protocol, by the sources in a folder. */
  readonly load: (folder: string) => Promise<SimulatedProtocol>
}

/** Declares a test for each mutant: the simulation finds it within 2,000 runs. */
export function mutantsAreFound({ mutants, sources, copies, load }: MutantSettings): void {
  describe('the simulation finds when', () => {
    test.each(mutants)('$name', { timeout: 0 }, async (mutant) => {
      const copy = copyWithout(mutant, sources, copies)
      try {
        const protocol = await load(copy.folder)
        // The seed that found it last, first: any other will do.
        const { violations } = await simulate(protocol, mutant.seed)
        if (violations.length > 0) return
        const { failed } = await simulateMany(protocol, 1, MUTANT_RUNS)
        expect(failed?.violations, `${MUTANT_RUNS} runs without a finding`).not.toBeUndefined()
      } finally {
        copy.remove()
      }
    })
  })
}
