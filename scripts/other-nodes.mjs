import { join } from 'node:path'
import { run, ScriptFailure } from './run.mjs'
import { testedPackages } from './run-tests.mjs'
import { summariseTests } from './summarise-tests.mjs'
import { BROKERS_BY_SUITE } from './test-brokers.mjs'
import { turbo } from './turbo.mjs'
import { ROOT } from './workspace.mjs'

const VERSIONS = ['22.23.3', '24.21.0']

/**
 * The package on the npm registry that holds the `node` binary for this machine. The package `node` picks that one in
 * an install script, which many set-ups don't allow, so it is asked for only where the binary's own package doesn't
 * have these versions.
 */
function binaryPackage() {
  if (process.platform === 'linux') return `node-linux-${process.arch}`
  return process.platform === 'win32' ? `node-win-${process.arch}` : 'node'
}

/**
 * @param {string} version
 * @returns {Promise<string>} The path of that Node.js.
 */
async function fetchNode(version) {
  const { code, output } = await run(
    'npx',
    ['--yes', '--prefer-offline', '--package', `${binaryPackage()}@${version}`, '--', 'node', '-p', 'process.execPath'],
    { output: 'capture', env: { npm_config_loglevel: 'error' } },
  )
  if (code !== 0) throw new ScriptFailure(`npx could not fetch Node.js ${version} (${binaryPackage()})`)
  return output.trim()
}

/**
 * Runs the suites that need no broker on the newer lines of Node.js. Rejects when a test fails on one of them.
 *
 * @param {readonly string[]} names Packages by name or folder; empty: all that need no broker.
 */
export async function testOnOtherNodes(names) {
  const packages = testedPackages(names).filter(({ directory }) => BROKERS_BY_SUITE[directory] === undefined)
  await turbo(['build', ...packages.map(({ manifest }) => `--filter=${manifest.name}`), '--output-logs=errors-only'])
  let failed = false
  for (const version of VERSIONS) {
    const node = await fetchNode(version)
    const reports = []
    for (const { directory } of packages) {
      const report = join(ROOT, directory, 'test-results', `node-${version}.json`)
      process.stdout.write(`\n${directory} on Node.js ${version}\n`)
      const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
      const { code } = await run(node, [vitest, 'run', `--outputFile.json=${report}`], { cwd: join(ROOT, directory) })
      failed ||= code !== 0
      reports.push(report)
    }
    const summary = summariseTests(reports)
    process.stdout.write(`\nNode.js ${version}: ${summary.text}\n`)
    failed ||= !summary.passed
  }
  if (failed) throw new ScriptFailure('')
}
