import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { checkInput } from './check-input.js'
import { keepFinding, readCorpus } from './corpus.js'
import { formatReport, fuzz } from './fuzz.js'
import { BufferMeter } from './meter.js'
import type { FuzzTarget } from './target.js'

/** How long each target is fuzzed in an ordinary test run, in milliseconds. */
const SHORT_MS = 2_000
/** Its seed: a change isn't held up by what was there before it. */
const SHORT_SEED = 1

export interface FuzzSuite {
  readonly targets: readonly FuzzTarget[]
  /** The folder with one folder of inputs per target. */
  readonly corpus: string
}

/**
 * Declares two tests for each target: every input of its corpus keeps its promises, and so do random ones, for two seconds. `STREAMSWITCH_FUZZ_TARGET` chooses one
 * target, `STREAMSWITCH_FUZZ_MINUTES` how long, `STREAMSWITCH_FUZZ_SEED` the seed (default: a random one with minutes, else 1). Inputs that show a defect are put into the corpus.
 */
export function fuzzing({ targets, corpus }: FuzzSuite): void {
  const {
    STREAMSWITCH_FUZZ_TARGET: only,
    STREAMSWITCH_FUZZ_MINUTES: minutes,
    STREAMSWITCH_FUZZ_SEED: given,
  } = process.env
  const random = minutes === undefined ? SHORT_SEED : Math.floor(Math.random() * 2 ** 31)
  const seed = given === undefined ? random : Number(given)
  const forMs = minutes === undefined ? SHORT_MS : Number(minutes) * 60_000
  const chosen = targets.filter(({ name }) => only === undefined || name === only)
  describe.each(chosen)('$name', (target) => {
    const inputs = readCorpus(corpus, target.name)

    test('the inputs of the corpus are decoded within the limits, or refused with a declared error', async () => {
      expect(inputs.length).toBeGreaterThan(0)
      const meter = new BufferMeter()
      meter.start()
      try {
        for (const { name, bytes } of inputs) {
          const finding = await checkInput(target, bytes, meter)
          expect(
            finding?.detail,
            `${name}: ${finding?.error === undefined ? '' : inspect(finding.error)}`,
          ).toBeUndefined()
        }
      } finally {
        meter.stop()
      }
    })

    test('random inputs are decoded within the limits, or refused with a declared error', { timeout: 0 }, async () => {
      const seeds = inputs.map(({ bytes }) => bytes)
      const report = await fuzz(target, { seed, forMs, seeds, folder: corpus })
      process.stdout.write(`${formatReport(report)}\n`)
      const found = report.found.map(({ finding, input }) => {
        const path = keepFinding(corpus, target.name, finding.kind, input)
        return `${finding.kind}: ${finding.detail}\n${input.length} bytes, kept in ${path}\n${inspect(finding.error)}`
      })
      expect(found.join('\n\n'), `seed ${seed}`).toBe('')
      expect(report.executions).toBeGreaterThan(0)
    })
  })
}
