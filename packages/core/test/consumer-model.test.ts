import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { resetModelClock, useModelClock } from './support/consumer-model/clock.js'
import { STEPS } from './support/consumer-model/commands.js'
import { type Scenario, World } from './support/consumer-model/world.js'

/** Repeats a run that failed: the seed stands in its error. */
const seed = Number(process.env.STREAMSWITCH_MODEL_SEED ?? Math.floor(Math.random() * 0x7fffffff))
const numRuns = Number(process.env.STREAMSWITCH_MODEL_RUNS ?? 10_000)

const scenarios: fc.Arbitrary<Scenario> = fc.record({
  settlement: fc.constantFrom('individual', 'cumulative'),
  ordering: fc.constantFrom('key', 'key', 'none'),
  ack: fc.constantFrom('auto', 'auto', 'manual'),
  concurrency: fc.integer({ min: 1, max: 3 }),
  attempts: fc.integer({ min: 1, max: 3 }),
  errorPolicy: fc.constantFrom('restart', 'restart', 'stop'),
  deadLetter: fc.boolean(),
  dedupe: fc.constantFrom(false, false, false, true),
  settleIntervalMs: fc.constantFrom(0, 0, 20),
  maxAheadMessages: fc.constantFrom(3, 100),
  polite: fc.boolean(),
})

const rejections: unknown[] = []
const rejected = (reason: unknown): void => void rejections.push(reason)

describe('the consuming core, whatever happens in whatever order', () => {
  beforeAll(() => {
    useModelClock()
    process.on('unhandledRejection', rejected)
  })
  afterAll(() => {
    vi.useRealTimers()
    process.off('unhandledRejection', rejected)
  })

  it(`keeps its promises in ${numRuns} random histories`, { timeout: 600_000 }, async () => {
    const property = fc.asyncProperty(
      scenarios,
      fc.commands(STEPS, { maxCommands: 25, size: 'max' }),
      async (scenario, steps) => {
        resetModelClock()
        rejections.length = 0
        const world = new World(scenario)
        await world.settle()
        await fc.asyncModelRun(() => ({ model: {}, real: world }), steps)
        await world.finish()
        if (rejections.length > 0) world.violation(`${rejections.length} rejections were not handled: ${rejections[0]}`)
        if (world.violations.length > 0) throw new Error(world.violations.join('\n'))
      },
    )
    const again = `STREAMSWITCH_MODEL_SEED=${seed} STREAMSWITCH_MODEL_RUNS=${numRuns}`
    const result = await fc.check(property, { seed, numRuns })
    if (result.failed) throw new Error(`${again}\n${fc.defaultReportMessage(result)}\n${result.errorInstance}`)
    expect(result.numRuns).toBe(numRuns)
  })
})
