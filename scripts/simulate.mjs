import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { mustRun, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT, workspacePackages } from './workspace.mjs'

/** Where a package simulates its membership protocol. */
const SUITE = 'test/simulation/simulation.test.ts'

const USAGE = 'usage: simulate [--seed 1] [--runs 2000] [transport...]'

/**
 * Simulates the membership protocols of all packages that have a simulation, or of those named: so many random runs, from a seed on. Prints
 * the figures; rejects with the first seed that breaks a promise, and what happened in it.
 *
 * @param {string[]} args
 */
export async function runSimulations(args) {
  const { seed, runs, names } = simulationOptions(args)
  const packages = workspacePackages().filter(({ directory }) => existsSync(join(ROOT, directory, SUITE)))
  const unknown = names.filter((name) => !packages.some(({ directory }) => directory.endsWith(`/${name}`)))
  if (unknown.length > 0)
    throw new ScriptFailure(
      `no package with a simulation is called ${unknown.join(', ')}; there are ${packages.map(({ directory }) => directory).join(', ')}`,
    )
  const chosen = packages.filter(
    ({ directory }) => names.length === 0 || names.some((name) => directory.endsWith(`/${name}`)),
  )
  await build({ packages: chosen.map(({ manifest }) => `${manifest.name}...`), quiet: true })
  for (const { directory } of chosen) {
    process.stdout.write(`${directory}: ${runs} runs from seed ${seed}\n`)
    await mustRun('pnpm', ['exec', 'vitest', 'run', SUITE, '--reporter=default'], {
      cwd: join(ROOT, directory),
      env: { STREAMSWITCH_SIMULATE_SEED: String(seed), STREAMSWITCH_SIMULATE_RUNS: String(runs) },
    })
  }
}

/**
 * @param {string[]} args
 * @returns {{ seed: number, runs: number, names: string[] }}
 */
export function simulationOptions(args) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { seed: { type: 'string', default: '1' }, runs: { type: 'string', default: '2000' } },
  })
  const [seed, runs] = [Number(values.seed), Number(values.runs)]
  const problems = []
  if (!Number.isSafeInteger(seed) || seed < 0)
    problems.push(`--seed must be an integer of at least 0, got '${values.seed}'`)
  if (!Number.isSafeInteger(runs) || runs < 1)
    problems.push(`--runs must be an integer of at least 1, got '${values.runs}'`)
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  return { seed, runs, names: positionals }
}
