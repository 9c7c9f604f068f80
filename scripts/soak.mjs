import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readRows, SUITE, soakTable, suiteFolders, writeSection } from './reliability.mjs'
import { run, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const RESULTS = 'test-results/soak'
const USAGE = 'usage: soak [--minutes 30] [--seed 1] [--transports redis,amqp] [--parallel 1] [--output]'

/**
 * @typedef {object} SoakOptions
 * @property {number} minutes For each transport.
 * @property {number} seed
 * @property {string[]} transports Empty: all.
 * @property {number} parallel How many transports run at a time.
 * @property {boolean} output
 */

/**
 * Runs random faults on each transport for so many minutes, one transport after the other or `--parallel` at a time, and prints what
 * the checker found; with `--output` it also goes into `docs/reliability.md`. Rejects when anything was lost, phantom, reordered or
 * settled twice, and when a transport did not recover.
 *
 * @param {string[]} args
 */
export async function runSoak(args) {
  const options = soakOptions(args)
  const folders = suiteFolders(options.transports)
  await build({ packages: ['./packages/*'], quiet: true })
  const outcomes = await inParallel(folders, options.parallel, (folder) => soakOne(folder, options))
  const table = soakTable(outcomes.flatMap(({ rows }) => rows))
  process.stdout.write(`\n${table}\n`)
  const { minutes, seed, output } = options
  if (output) writeSection('soak', `${minutes} minutes for each transport, seed ${seed}.\n\n${table}`)
  if (outcomes.some(({ failed }) => failed)) throw new ScriptFailure('')
}

/**
 * Where several run at a time, each is shown as a whole when it is over.
 *
 * @param {string} folder
 * @param {SoakOptions} options
 */
async function soakOne(folder, { minutes, seed, parallel }) {
  const results = join(ROOT, folder, RESULTS)
  rmSync(results, { recursive: true, force: true })
  const { code, output } = await run('pnpm', ['exec', 'vitest', 'run', SUITE], {
    cwd: join(ROOT, folder),
    env: {
      STREAMSWITCH_SOAK_MINUTES: String(minutes),
      STREAMSWITCH_SOAK_SEED: String(seed),
      STREAMSWITCH_RELIABILITY_RESULTS: results,
    },
    output: parallel > 1 ? 'capture' : 'inherit',
  })
  process.stdout.write(output)
  return { failed: code !== 0 || !existsSync(results), rows: readRows(results) }
}

/**
 * Resolves with the results in the order of the items.
 *
 * @template Item, Result
 * @param {readonly Item[]} items
 * @param {number} limit How many at a time.
 * @param {(item: Item) => Promise<Result>} work
 * @returns {Promise<Result[]>}
 */
async function inParallel(items, limit, work) {
  /** @type {Result[]} */
  const results = []
  const queue = [...items.entries()]
  const lane = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(next[1])
  }
  await Promise.all(Array.from({ length: limit }, lane))
  return results
}

/**
 * @param {string[]} args
 * @returns {SoakOptions}
 */
export function soakOptions(args) {
  const { values } = parse(args)
  const minutes = Number(values.minutes)
  const seed = values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : Number(values.seed)
  const parallel = Number(values.parallel)
  const problems = [
    ...(minutes > 0 ? [] : [`--minutes must be above 0, got '${values.minutes}'`]),
    ...(Number.isSafeInteger(seed) ? [] : [`--seed must be a whole number, got '${values.seed}'`]),
    ...(Number.isSafeInteger(parallel) && parallel > 0
      ? []
      : [`--parallel must be a whole number from 1, got '${values.parallel}'`]),
  ]
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  const transports = (values.transports ?? '').split(',').filter((name) => name !== '')
  return { minutes, seed, transports, parallel, output: values.output }
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
        parallel: { type: 'string', default: '1' },
        output: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
  }
}
