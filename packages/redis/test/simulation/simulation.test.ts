import { formatHistory, formatSummary, simulate, simulateMany } from '@streamswitch/testkit/simulation'
import { expect, test } from 'vitest'
import { LuaEngine } from './lua-engine.js'
import { redis } from './redis.js'
import { loadSources } from './sources.js'

const SEED = Number(process.env['STREAMSWITCH_SIMULATE_SEED'] ?? 1)
const RUNS = Number(process.env['STREAMSWITCH_SIMULATE_RUNS'] ?? 2_000)
const protocol = redis(await loadSources('../../src'), await LuaEngine.create())

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
