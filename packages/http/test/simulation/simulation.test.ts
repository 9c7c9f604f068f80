import { formatHistory, formatSummary, simulate, simulateMany } from '@streamswitch/testkit/simulation'
import { expect, test } from 'vitest'
import { http } from './http.js'
import { loadSources } from './sources.js'

// Errors are made by the thousand, and nobody reads where.
Error.stackTraceLimit = 0

const SEED = Number(process.env['STREAMSWITCH_SIMULATE_SEED'] ?? 1)
const RUNS = Number(process.env['STREAMSWITCH_SIMULATE_RUNS'] ?? 2_000)
const protocol = http(await loadSources('../../src'))

test('a seed repeats one run exactly', async () => {
  const [first, second] = [await simulate(protocol, SEED), await simulate(protocol, SEED)]
  expect(first.history.length).toBeGreaterThan(0)
  expect(second).toEqual(first)
})

test(`${RUNS} random runs from seed ${SEED}: no promise is broken`, { timeout: 0 }, async () => {
  const summary = await simulateMany(protocol, SEED, RUNS)
  process.stdout.write(`${formatSummary(summary)}\n`)
  if (summary.failed !== undefined) expect.fail(formatHistory(summary.failed))
  expect(summary.runs).toBe(RUNS)
})
