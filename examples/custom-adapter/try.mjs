// Does what somebody outside of this repository would do: takes `@streamswitch/core` and `@streamswitch/testkit` as they would be
// published, installs them beside the adapter in a folder of its own, compiles the adapter and runs its tests there.
// Usage: node try.mjs [arguments of vitest]
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mustRun, ScriptFailure } from '../../scripts/run.mjs'
import { ROOT } from '../../scripts/workspace.mjs'

const HERE = import.meta.dirname
const ADAPTER = join(HERE, 'streamswitch-files')
/** Where the project's summary looks for the results of this folder. */
const RESULTS = join(HERE, 'test-results')
/** What an earlier run of the tools within the repository may have left. */
const MADE = new Set(['node_modules', 'dist', 'test-results'])

const folder = mkdtempSync(join(tmpdir(), 'streamswitch-custom-adapter-'))
const app = { cwd: folder }

function keepResults() {
  mkdirSync(RESULTS, { recursive: true })
  copyFileSync(join(folder, 'test-results/vitest.json'), join(RESULTS, 'vitest.json'))
}

try {
  for (const name of readdirSync(ADAPTER)) {
    if (!MADE.has(name)) cpSync(join(ADAPTER, name), join(folder, name), { recursive: true })
  }
  const archives = join(folder, 'archives')
  for (const name of ['core', 'testkit']) {
    const cwd = join(ROOT, 'packages', name)
    await mustRun('pnpm', ['pack', '--pack-destination', archives], { cwd, output: 'capture' })
  }
  const packed = readdirSync(archives).map((name) => `./archives/${name}`)
  // The workspace's own modules must not be found from here.
  delete process.env['NODE_PATH']
  await mustRun('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--no-save', ...packed], app)
  await mustRun('npx', ['tsc', '-p', 'tsconfig.json'], app)
  await mustRun('npx', ['tsc', '-p', 'tsconfig.build.json'], app)
  try {
    await mustRun('npx', ['vitest', 'run', ...process.argv.slice(2)], app)
  } finally {
    keepResults()
  }
} catch (error) {
  if (!(error instanceof ScriptFailure)) throw error
  if (error.message !== '') process.stderr.write(`${error.message}\n`)
  process.exitCode = error.exitCode
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
}
