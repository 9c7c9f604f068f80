import { soakTable, writeSection } from './reliability-page.mjs'
import { ScriptFailure } from './run.mjs'
import { readRunOptions, runSuites, suiteFolders } from './suite-runs.mjs'

const USAGE = 'usage: soak [--minutes 30] [--seed 1] [--transports redis,amqp] [--parallel 1] [--output]'

/** @typedef {import('./suite-runs.mjs').RunOptions & { readonly seed: number }} SoakOptions */

/**
 * Runs random faults on each transport for so many minutes, one transport after the other or `--parallel` at a time, and prints what
 * the checker found; with `--output` it also goes into `docs/reliability.md`. Rejects when anything was lost, phantom, reordered or
 * settled twice, and when a transport did not recover.
 *
 * @param {string[]} args
 */
export async function runSoak(args) {
  const { minutes, seed, transports, parallel, output } = soakOptions(args)
  const environment = { STREAMSWITCH_SOAK_MINUTES: String(minutes), STREAMSWITCH_SOAK_SEED: String(seed) }
  const { rows, failed } = await runSuites(suiteFolders(transports), { name: 'soak', parallel, environment })
  const table = soakTable(rows)
  process.stdout.write(`\n${table}\n`)
  if (output) writeSection('soak', `${minutes} minutes for each transport, seed ${seed}.\n\n${table}`)
  if (failed) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {SoakOptions}
 */
export function soakOptions(args) {
  const { values, options, problems } = readRunOptions(args, {
    minutes: '30',
    usage: USAGE,
    more: { seed: { type: 'string' } },
  })
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed)
  if (!Number.isSafeInteger(seed)) problems.push(`--seed must be an integer, got '${values.seed}'`)
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  return { ...options, seed }
}
