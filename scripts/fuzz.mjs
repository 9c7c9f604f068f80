import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { mustRun, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT, workspacePackages } from './workspace.mjs'

/** Where a package fuzzes its decoders. */
const SUITE = 'test/fuzz/fuzz.test.ts'

const USAGE = 'usage: fuzz [package | package/target]... [--minutes 1] [--seed N]'

/**
 * Fuzzes the decoders of all packages that have such a suite, or of those named, one target after the other. Prints what was tried; inputs that show a
 * defect are put into the corpus.
 *
 * @param {string[]} args
 */
export async function runFuzzing(args) {
  const { minutes, seed, names } = fuzzOptions(args)
  const packages = workspacePackages().filter(({ directory }) => existsSync(join(ROOT, directory, SUITE)))
  const known = packages.map(({ directory }) => directory.slice(directory.lastIndexOf('/') + 1))
  const unknown = names.filter(({ name }) => !known.includes(name))
  if (unknown.length > 0)
    throw new ScriptFailure(
      `no package with fuzz targets is called ${unknown.map(({ name }) => name).join(', ')}; there are ${known.join(', ')}`,
    )
  const chosen = names.length === 0 ? known.map((name) => ({ name, target: undefined })) : names
  await build({ packages: packages.map(({ manifest }) => `${manifest.name}...`), quiet: true })
  let failed = 0
  for (const { name, target } of chosen) {
    process.stdout.write(`packages/${name}: ${target ?? 'all targets'}, ${minutes} minutes each\n`)
    const run = mustRun('pnpm', ['exec', 'vitest', 'run', SUITE, '--reporter=default'], {
      cwd: join(ROOT, 'packages', name),
      env: {
        STREAMSWITCH_FUZZ_MINUTES: String(minutes),
        ...(seed === undefined ? {} : { STREAMSWITCH_FUZZ_SEED: String(seed) }),
        ...(target === undefined ? {} : { STREAMSWITCH_FUZZ_TARGET: target }),
      },
    })
    // What one package finds is no reason not to try the others.
    await run.catch((error) => {
      if (!(error instanceof ScriptFailure)) throw error
      failed += 1
    })
  }
  if (failed > 0) throw new ScriptFailure('')
}

/**
 * @param {string[]} args
 * @returns {{ minutes: number, seed: number | undefined, names: { name: string, target: string | undefined }[] }}
 */
export function fuzzOptions(args) {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { minutes: { type: 'string', default: '1' }, seed: { type: 'string' } },
  })
  const minutes = Number(values.minutes)
  const seed = values.seed === undefined ? undefined : Number(values.seed)
  const problems = []
  if (!(minutes > 0) || minutes === Infinity)
    problems.push(`--minutes must be a number above 0, got '${values.minutes}'`)
  if (seed !== undefined && (!Number.isSafeInteger(seed) || seed < 0))
    problems.push(`--seed must be an integer of at least 0, got '${values.seed}'`)
  if (problems.length > 0) throw new ScriptFailure(`${problems.join('; ')}\n${USAGE}`)
  return {
    minutes,
    seed,
    names: positionals.map((text) => {
      const [name = '', target] = text.split('/')
      return { name, target }
    }),
  }
}
