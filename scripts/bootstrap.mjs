// The door to every task: `node scripts/bootstrap.mjs <task> [arguments]`. It needs nothing but Node.js and npm,
// fetches the pinned pnpm, installs what the lockfile says and then runs the task.
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { run, ScriptFailure } from './run.mjs'
import { ROOT, readManifest } from './workspace.mjs'

const MINIMUM_NODE = [20, 19]
const INSTALL_RECORD = join(ROOT, 'node_modules', '.streamswitch-install')

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const [wantedMajor = 0, wantedMinor = 0] = MINIMUM_NODE
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return
  throw new ScriptFailure(`Node.js ${MINIMUM_NODE.join('.')} or newer is needed; this is ${process.versions.node}.`)
}

/** The version of pnpm that package.json pins. */
function pinnedPnpm() {
  const version = /^pnpm@(\d+\.\d+\.\d+)/.exec(readManifest(join(ROOT, 'package.json')).packageManager ?? '')?.[1]
  if (version === undefined) throw new ScriptFailure('package.json pins no pnpm in "packageManager".')
  return version
}

/**
 * Makes sure that `pnpm` on the PATH of this process and its children is the pinned one; turbo calls it by that name.
 */
async function providePnpm() {
  const version = pinnedPnpm()
  const present = await run('pnpm', ['--version'], { output: 'capture' }).catch(() => undefined)
  if (present?.code === 0 && present.output.trim() === version) return
  // npx puts the folder with the program that it fetched first on its child's PATH.
  const print = ['node', '-p', 'process.env.PATH']
  const fetched = await run('npx', ['--yes', '--prefer-offline', '--package', `pnpm@${version}`, '--', ...print], {
    output: 'capture',
    env: { npm_config_loglevel: 'error' },
  })
  const folder = fetched.output.trim().split(delimiter)[0]
  if (fetched.code !== 0 || folder === undefined || folder === '') {
    throw new ScriptFailure(`npx could not fetch pnpm ${version}; is the npm registry reachable?`)
  }
  process.env['PATH'] = `${folder}${delimiter}${process.env['PATH'] ?? ''}`
}

/** What node_modules has been made from: a change of any of these calls for an install. */
function installFingerprint() {
  const hash = createHash('sha256')
  for (const file of ['pnpm-lock.yaml', 'pnpm-workspace.yaml']) hash.update(readFileSync(join(ROOT, file)))
  return hash.update(`${process.platform} ${process.arch}`).digest('hex')
}

async function install() {
  const fingerprint = installFingerprint()
  if (existsSync(INSTALL_RECORD) && readFileSync(INSTALL_RECORD, 'utf8') === fingerprint) return
  // Without a terminal pnpm must not ask whether it may replace a node_modules folder that something else made.
  const quiet = [
    '--frozen-lockfile',
    '--prefer-offline',
    '--reporter=append-only',
    '--config.confirm-modules-purge=false',
  ]
  const { code } = await run('pnpm', ['install', ...quiet])
  if (code !== 0) throw new ScriptFailure('pnpm install failed.', code)
  writeFileSync(INSTALL_RECORD, fingerprint)
}

async function main() {
  requireNode()
  process.env['TURBO_TELEMETRY_DISABLED'] = '1'
  const [task, ...args] = process.argv.slice(2)
  await providePnpm()
  await install()
  const { runTask } = await import('./tasks.mjs')
  await runTask(task, args)
}

try {
  await main()
} catch (error) {
  if (!(error instanceof ScriptFailure)) throw error
  if (error.message !== '') process.stderr.write(`${error.message}\n`)
  process.exitCode = error.exitCode
}
