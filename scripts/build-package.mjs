// Compiles the package in the current folder to dist/ and removes what an earlier build left there for sources that are
// gone. dist/ is never emptied first: tests of another package may be reading it.
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { mustRun, ScriptFailure } from './run.mjs'

const OUTPUT = /\.(d\.ts|js|js\.map)$/

/** @param {string} folder Relative to dist/. */
function prune(folder) {
  for (const entry of readdirSync(join('dist', folder), { withFileTypes: true })) {
    const path = join(folder, entry.name)
    const source = join('src', entry.isDirectory() ? path : path.replace(OUTPUT, '.ts'))
    if (!existsSync(source)) rmSync(join('dist', path), { recursive: true })
    else if (entry.isDirectory()) prune(path)
  }
}

try {
  await mustRun('tsc', ['-p', 'tsconfig.build.json'], { cwd: process.cwd() })
  prune('')
} catch (error) {
  if (!(error instanceof ScriptFailure)) throw error
  process.exitCode = error.exitCode
}
