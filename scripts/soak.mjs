import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readRows, SUITE, soakTable, suiteFolders, writeSection } from './reliability.mjs'
import { run, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const RESULTS = 'test-results/soak'
const USAGE = 'usage: soak [--minutes 30] [--seed 1] [--transports redis,amqp] [--output]'

/**
 * Runs random faults on each transport for so many minutes, one transport after the other, and prints what the checker found; with
 * `--output` it also goes into `docs/reliability.md`. Rejects when anything was lost, phantom, reordered or settled twice, and when a
 * transport did not recover.
 *
 * @param {string[]} args
 */
export async function runSoak(args) {
  const { minutes, seed, transports, output } = soakOptions(args)
  const folders = suiteFolders(transports)
  await build({ packages: ['./packages/*'], quiet: true })
  const rows = []
  let failed = false
  for (const folder of folders) {
    const results = join(ROOT, folder, RESULTS)
    rmSync(results, { recursive: true, force: true })
    const { code } = await run('pnpm', ['exec', 'vitest', 'run', SUITE], {
      cwd: join(ROOT, folder),
      env: {
        ...process.env,
        STREAMSWITCH_SOAK_MINUTES: String(minutes),
        STREAMSWITCH_SOAK_SEED: String(seed),
        STREAMSWITCH_RELIABILITY_RESULTS: results,
      },
    })
    failed ||= code !== 0 || !existsSync(results)
    rows.push(...readRows(results))
  }
  const table = soakTable(rows)
  process.stdout.write(`\n${table}\n`)
  if (output) writeSection('soak', `${minutes} minutes for each transport, seed ${seed}.\n\n${table}`)
  if (failed) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {{ minutes: number, seed: number, transports: string[], output: boolean }}
 */
export function soakOptions(args) {
  const { values } = parse(args)
  const minutes = Number(values.minutes)
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed)
  const problems = [
    ...(minutes > 0 ? [] : [`--minutes must be above 0, got '${values.minutes}'`]),
    ...(Number.isSafeInteger(seed) ? [] : [`--seed must be a whole number, got '${values.seed}'`]),
  ]
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  const transports = (values.transports ?? '').split(',').filter((name) => name !== '')
  return { minutes, seed, transports, output: values.output }
}

/** @param {string[]} args */
function parse(args) {
  try {
    return parseArgs({
      args,
      options: {
        minutes: { type: 'string', default: '30' },
        seed: { type: 'string' },
        transports: { type: 'string' },
        output: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
}
