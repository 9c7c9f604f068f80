import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ScriptFailure } from './run.mjs'
import { summariseTests } from './summarise-tests.mjs'
import { withBrokers } from './test-brokers.mjs'
import { turbo } from './turbo.mjs'
import { filesBelow, ROOT, workspacePackages } from './workspace.mjs'

const RESULTS = 'test-results'
const FAULTS = 'test/reliability.test.ts'

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
 * Brings up the brokers that the suites need, runs the suites and prints the sum. Rejects when a test failed or a suite
 * left no result. Suites with faults run one after the other: on a small machine two of them, each with brokers that are
 * killed and frozen, would starve each other and miss deadlines for no fault of the code. The others run beside them, one
 * at a time.
 *
 * @param {readonly string[]} names Packages by name or folder; empty: all.
 * @param {{ fresh?: boolean }} [options] `fresh`: run also what has passed before, unchanged. Always so in CI.
 */
export async function runTests(names, { fresh = isContinuousIntegration() } = {}) {
  const packages = testedPackages(names)
  for (const { directory } of packages) rmSync(join(ROOT, directory, RESULTS), { recursive: true, force: true })
  /** @type {unknown} */
  let failure
  try {
    const filters = packages.map(({ manifest }) => `--filter=${manifest.name}`)
    await turbo(['build', ...filters, '--output-logs=errors-only'])
    await withBrokers(
      packages.map(({ directory }) => directory),
      () => runLanes(packages, fresh),
    )
  } catch (error) {
    failure = error
  }
  const summary = summariseTests(packages.map(({ directory }) => join(ROOT, directory, RESULTS, 'vitest.json')))
  process.stdout.write(`\n${summary.text}\n`)
  if (failure !== undefined) throw failure
  if (!summary.passed) throw new ScriptFailure('')
}

/**
 * @param {readonly import('./workspace.mjs').WorkspacePackage[]} packages
 * @param {boolean} fresh
 */
async function runLanes(packages, fresh) {
  const hasFaults = (/** @type {import('./workspace.mjs').WorkspacePackage} */ { directory }) =>
    existsSync(join(ROOT, directory, FAULTS))
  const lanes = [packages.filter(hasFaults), packages.filter((one) => !hasFaults(one))]
  // Everything is built; a lane that built again would do so under the tests of the other.
  const options = ['--only', '--continue', '--concurrency=1', ...(fresh ? ['--force'] : [])]
  const outcomes = await Promise.allSettled(
    lanes
      .filter((lane) => lane.length > 0)
      .map((lane) => turbo(['test', ...lane.map(({ manifest }) => `--filter=${manifest.name}`), ...options])),
  )
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
}

function isContinuousIntegration() {
  return process.env['CI'] !== undefined && process.env['CI'] !== '' && process.env['CI'] !== 'false'
}
