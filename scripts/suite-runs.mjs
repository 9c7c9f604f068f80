import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { run, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT, workspacePackages } from './workspace.mjs'

/** Where a package has its cases with faults. */
export const SUITE = 'test/reliability.test.ts'

/** @typedef {import('./reliability-page.mjs').Row} Row */

/**
 * What a long run is asked for.
 *
 * @typedef {object} RunOptions
 * @property {number} minutes For each transport.
 * @property {string[]} transports Empty: all.
 * @property {number} parallel How many transports run at a time.
 * @property {boolean} output Write the table into `docs/reliability.md`.
 */

/**
 * @typedef {object} RunOptionRules
 * @property {string} minutes Their default.
 * @property {string} usage
 * @property {NonNullable<import('node:util').ParseArgsConfig['options']>} [more] Options besides those of all long runs.
 */

/**
 * @typedef {object} SuiteRuns
 * @property {string} name Folder of the results, in each package's `test-results`.
 * @property {number} parallel How many suites run at a time.
 * @property {NodeJS.ProcessEnv} environment What the suites are asked for.
 */

/**
 * Folders of the packages that have a fault suite: all of them, or those named.
 *
 * @param {readonly string[]} names
 */
export function suiteFolders(names) {
  const folders = workspacePackages()
    .map(({ directory }) => directory)
    .filter((directory) => existsSync(join(ROOT, directory, SUITE)))
  for (const name of names) {
    if (!folders.some((folder) => folder.endsWith(`/${name}`)))
      throw new ScriptFailure(`no package with a fault suite is called ${name}; there are ${folders.join(', ')}`)
  }
  return names.length === 0 ? folders : folders.filter((one) => names.some((name) => one.endsWith(`/${name}`)))
}

/**
 * @param {string} folder
 * @returns {Row[]}
 */
function readRows(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => /** @type {Row[]} */ (JSON.parse(readFileSync(join(folder, name), 'utf8'))))
}

/**
 * Builds all packages, runs the fault suites of these, and resolves with what they found, in the order of the packages. Where several
 * run at a time, each is shown as a whole when it is over.
 *
 * @param {readonly string[]} folders
 * @param {SuiteRuns} settings
 * @returns {Promise<{ rows: Row[], failed: boolean }>}
 */
export async function runSuites(folders, settings) {
  await build({ packages: ['./packages/*'], quiet: true })
  const outcomes = await inParallel(folders, settings.parallel, (folder) => runSuite(folder, settings))
  return { rows: outcomes.flatMap(({ rows }) => rows), failed: outcomes.some(({ failed }) => failed) }
}

/**
 * @param {string} folder
 * @param {SuiteRuns} settings
 */
async function runSuite(folder, { name, parallel, environment }) {
  const results = join(ROOT, folder, 'test-results', name)
  rmSync(results, { recursive: true, force: true })
  const { code, output } = await run('pnpm', ['exec', 'vitest', 'run', SUITE], {
    cwd: join(ROOT, folder),
    env: { ...environment, STREAMSWITCH_RELIABILITY_RESULTS: results },
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
 * Reads what a long run is asked for, and says all that is wrong with it. Throws with the usage for options that there are none of.
 *
 * @param {string[]} args
 * @param {RunOptionRules} rules
 * @returns {{ values: Record<string, unknown>, options: RunOptions, problems: string[] }}
 */
export function readRunOptions(args, { minutes, usage, more = {} }) {
  const values = parse(args, usage, {
    ...more,
    minutes: { type: 'string', default: minutes },
    transports: { type: 'string', default: '' },
    parallel: { type: 'string', default: '1' },
    output: { type: 'boolean', default: false },
  })
  const options = {
    minutes: Number(values.minutes),
    transports: String(values.transports)
      .split(',')
      .filter((name) => name !== ''),
    parallel: Number(values.parallel),
    output: values.output === true,
  }
  const problems = []
  if (!(options.minutes > 0)) problems.push(`--minutes must be above 0, got '${values.minutes}'`)
  if (!Number.isSafeInteger(options.parallel) || options.parallel < 1)
    problems.push(`--parallel must be an integer from 1, got '${values.parallel}'`)
  return { values, options, problems }
}

/**
 * @param {string[]} args
 * @param {string} usage
 * @param {NonNullable<import('node:util').ParseArgsConfig['options']>} options
 * @returns {Record<string, unknown>}
 */
function parse(args, usage, options) {
  try {
    return parseArgs({ args, options }).values
  } catch (error) {
    throw new ScriptFailure(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
  }
}
