import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ScriptFailure } from './run.mjs'
import { SUITE as FAULT_SUITE } from './suite-runs.mjs'
import { summariseTests } from './summarise-tests.mjs'
import { withBrokers } from './test-brokers.mjs'
import { turbo } from './turbo.mjs'
import { filesBelow, ROOT, workspacePackages } from './workspace.mjs'

const RESULTS = 'test-results'
/** A suite that runs for longer hangs: the longest takes a third of it on a quiet machine with two cores. */
const SUITE_TIMEOUT_MS = 45 * 60_000

/**
 * The packages that have tests, narrowed to those named by folder or package name.
 *
 * @param {readonly string[]} names Empty: all.
 */
export function testedPackages(names) {
  const tested = workspacePackages().filter(
    ({ directory, manifest }) =>
      manifest.scripts?.['test'] !== undefined && filesBelow(ROOT, directory, /\.test\.m?ts$|\.test\.mjs$/).length > 0,
  )
  for (const name of names) {
    if (!tested.some((one) => isCalled(one, name))) throw new ScriptFailure(`no package with tests is called ${name}`)
  }
  return names.length === 0 ? tested : tested.filter((one) => names.some((name) => isCalled(one, name)))
}

/**
 * @param {import('./workspace.mjs').WorkspacePackage} one
 * @param {string} name
 */
function isCalled({ directory, manifest }, name) {
  return name === manifest.name || name === directory || name === directory.slice(directory.lastIndexOf('/') + 1)
}

/**
 * One run of vitest: a package's suite, or that part of it with faults, or the rest.
 *
 * @typedef {object} Suite
 * @property {string} name The package's.
 * @property {boolean} faults Brokers are killed and frozen in it.
 * @property {readonly string[]} args For vitest.
 * @property {string} report Where it leaves its report, absolute.
 */

/**
 * Brings up the brokers that the suites need, runs the suites and prints the sum. Rejects when a test failed or a suite
 * left no result. Suites with faults run one after the other: on a small machine two of them, each with brokers that are
 * killed and frozen, would starve each other and miss deadlines for no fault of the code. The others run beside them, one
 * at a time.
 *
 * @param {readonly string[]} names Packages by name or folder; empty: all.
 * @param {{ fresh?: boolean, file?: string | undefined }} [options] `fresh`: run also what has passed before, unchanged. Always
 *   so in CI. `file`: this file of each package that has it, nothing else.
 */
export async function runTests(names, { fresh = isContinuousIntegration(), file } = {}) {
  const packages = testedPackages(names).filter(
    ({ directory }) => file === undefined || existsSync(join(ROOT, directory, file)),
  )
  if (packages.length === 0) throw new ScriptFailure(`no such package has a file ${file}`)
  const suites = packages.flatMap((one) => (file === undefined ? suitesOf(one) : [fileOf(one, file)]))
  for (const { directory } of packages) rmSync(join(ROOT, directory, RESULTS), { recursive: true, force: true })
  /** @type {unknown} */
  let failure
  try {
    const filters = packages.map(({ manifest }) => `--filter=${manifest.name}`)
    await turbo(['build', ...filters, '--output-logs=errors-only'])
    await withBrokers(
      packages.map(({ directory }) => directory),
      () => runLanes(suites, fresh),
    )
  } catch (error) {
    failure = error
  }
  const summary = summariseTests(suites.map(({ report }) => report))
  process.stdout.write(`\n${summary.text}\n`)
  if (failure !== undefined) throw failure
  if (!summary.passed) throw new ScriptFailure('')
}

/**
 * @param {import('./workspace.mjs').WorkspacePackage} one
 * @returns {Suite[]}
 */
function suitesOf({ directory, manifest: { name } }) {
  const report = (/** @type {string} */ file) => join(ROOT, directory, RESULTS, file)
  const whole = { name, faults: false, args: [], report: report('vitest.json') }
  if (!existsSync(join(ROOT, directory, FAULT_SUITE))) return [whole]
  // It takes minutes in one file: each test is printed as it ends, so that a log shows where a run was when it was ended.
  const onlyFaults = [FAULT_SUITE, '--reporter=verbose', '--reporter=json', `--outputFile.json=${RESULTS}/faults.json`]
  return [
    { name, faults: true, args: onlyFaults, report: report('faults.json') },
    { ...whole, args: [`--exclude=${FAULT_SUITE}`] },
  ]
}

/**
 * @param {import('./workspace.mjs').WorkspacePackage} one
 * @param {string} file
 * @returns {Suite}
 */
function fileOf({ directory, manifest: { name } }, file) {
  return { name, faults: file === FAULT_SUITE, args: [file], report: join(ROOT, directory, RESULTS, 'vitest.json') }
}

/**
 * Two lanes: one takes the suites with faults and, when there are no more, helps the other. Rejects with the first failure
 * when all have run.
 *
 * @param {readonly Suite[]} suites
 * @param {boolean} fresh
 */
async function runLanes(suites, fresh) {
  const faults = suites.filter((suite) => suite.faults)
  const tested = new Set(faults.map(({ name }) => name))
  // The long ones first, so that the lanes end together: adapters have them.
  const others = suites
    .filter((suite) => !suite.faults)
    .sort((a, b) => Number(tested.has(b.name)) - Number(tested.has(a.name)))
  /** @type {unknown[]} */
  const failures = []
  const lane = async (/** @type {() => Suite | undefined} */ next) => {
    for (let suite = next(); suite !== undefined; suite = next())
      await runSuite(suite, fresh).catch((error) => failures.push(error))
  }
  await Promise.all([lane(() => faults.shift() ?? others.shift()), lane(() => others.shift())])
  if (failures.length > 0) throw failures[0]
}

/**
 * Everything is built; building again would do so under the tests of the other lane. Says when it begins and ends, since
 * two lanes print into one log.
 *
 * @param {Suite} suite
 * @param {boolean} fresh
 */
async function runSuite({ name, faults, args }, fresh) {
  const passed = args.length === 0 ? [] : ['--', ...args]
  const title = faults ? `${name}, faults` : name
  const begun = performance.now()
  process.stdout.write(`begins: ${title}\n`)
  try {
    await turbo(['test', `--filter=${name}`, '--only', ...(fresh ? ['--force'] : []), ...passed], {
      output: 'forward',
      endLeftovers: true,
      timeoutMs: SUITE_TIMEOUT_MS,
    })
  } finally {
    process.stdout.write(`ended: ${title}, after ${Math.round((performance.now() - begun) / 1_000)} s\n`)
  }
}

function isContinuousIntegration() {
  return process.env['CI'] !== undefined && process.env['CI'] !== '' && process.env['CI'] !== 'false'
}
