import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { onTestFinished, vi } from 'vitest'

/**
 * Puts a program of this name before all others until the test ends. It notes how it is called.
 *
 * @param {string} name
 * @param {string} [script] Shell commands: what it does.
 * @returns {() => string[]} Its calls, a line each.
 */
export function plantProgram(name, script = '') {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-program-'))
  const calls = join(folder, 'calls')
  writeFileSync(join(folder, name), `#!/bin/sh\necho "$@" >> '${calls}'\n${script}\n`)
  chmodSync(join(folder, name), 0o755)
  vi.stubEnv('PATH', `${folder}${delimiter}${process.env['PATH']}`)
  onTestFinished(() => {
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true })
  })
  return () => (existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : [])
}
