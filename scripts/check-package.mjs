// Packs the package in the current folder as it would be published and checks the archive: publint for the manifest,
// attw for what TypeScript makes of it, published-package.mjs for what a registry shows. Then loads every export in both ways that a user may.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { expectedFields, problemsOf } from './published-package.mjs'
import { mustRun, run, ScriptFailure } from './run.mjs'
import { filesBelow, ROOT, readManifest } from './workspace.mjs'

const here = { cwd: process.cwd() }
const manifest = readManifest('package.json')
const folder = mkdtempSync(join(tmpdir(), 'streamswitch-pack-'))

/** Commands that load what the package exports, by its own name, which Node.js resolves as it does for a user. */
function loadEachExport() {
  const specifiers = Object.keys(manifest.exports ?? {}).map((subpath) => `${manifest.name}${subpath.slice(1)}`)
  return specifiers
    .filter((specifier) => !specifier.endsWith('.json'))
    .flatMap((specifier) => [
      [process.execPath, '--input-type=commonjs', '--eval', `require('${specifier}')`],
      [process.execPath, '--input-type=module', '--eval', `await import('${specifier}')`],
    ])
}

try {
  await mustRun('pnpm', ['pack', '--pack-destination', folder], { ...here, output: 'capture' })
  const archive = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (archive === undefined) throw new ScriptFailure('pnpm pack made no archive')
  const file = join(folder, archive)
  // Packages are ESM only; Node.js 20.19 and later can require() them, so a CommonJS importer that resolves to ESM is
  // no problem.
  const attw = ['attw', file, '--profile', 'node16', '--ignore-rules', 'cjs-resolves-to-esm', '--no-emoji']
  const commands = [['publint', 'run', file, '--strict'], attw, ...loadEachExport()]
  let failed = false
  for (const [program = '', ...args] of commands) {
    const { code, output } = await run(program, args, { ...here, output: 'capture' })
    if (code === 0) continue
    failed = true
    process.stdout.write(output)
  }
  await mustRun('tar', ['-xzf', file, '-C', folder], { ...here, output: 'capture' })
  const expected = expectedFields(
    /** @type {import('./published-package.mjs').RootManifest} */ (
      /** @type {unknown} */ (readManifest(join(ROOT, 'package.json')))
    ),
    relative(ROOT, process.cwd()).replaceAll(sep, '/'),
  )
  const files = filesBelow(folder, 'package', /^/).map((path) => path.slice('package/'.length))
  const problems = problemsOf(join(folder, 'package'), files, expected)
  for (const problem of problems) process.stdout.write(`${manifest.name}: ${problem}\n`)
  if (failed || problems.length > 0) throw new ScriptFailure('')
} catch (error) {
  if (!(error instanceof ScriptFailure)) throw error
  if (error.message !== '') process.stderr.write(`${error.message}\n`)
  process.exitCode = error.exitCode
} finally {
  rmSync(folder, { recursive: true })
}
