import { mustRun, run, ScriptFailure } from './run.mjs'

/**
 * Runs turbo's tasks; rejects when one fails.
 *
 * @param {readonly string[]} args
 * @param {import('./run.mjs').RunOptions} [options]
 */
export async function turbo(args, options) {
  await mustRun('pnpm', ['exec', 'turbo', 'run', ...args], options)
}

/**
 * Builds what is stale.
 *
 * @param {{ packages?: readonly string[], quiet?: boolean }} [options] `packages`: with what they depend on; default:
 *   all. `quiet`: print nothing unless something fails.
 */
export async function build({ packages = [], quiet = false } = {}) {
  const filters = packages.map((name) => `--filter=${name}`)
  if (!quiet) return turbo(['build', ...filters])
  const args = ['exec', 'turbo', 'run', 'build', ...filters, '--output-logs=errors-only']
  const { code, output } = await run('pnpm', args, { output: 'capture' })
  if (code !== 0) throw new ScriptFailure(output, code)
}
