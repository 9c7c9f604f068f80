import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { onTestFinished } from 'vitest'

const EXPORTS = { '.': { types: './dist/index.d.ts', default: './dist/index.js' } }

/**
 * Writes a small workspace with the given files into a temporary folder, which goes away with the test.
 *
 * @param {Record<string, string>} files Contents by path; every folder `packages/<name>` or `examples/<name>` in it
 *   becomes a package.
 * @returns {string} The root.
 */
export function plantTree(files) {
  const root = mkdtempSync(join(tmpdir(), 'streamswitch-planted-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const directories = new Set(
    Object.keys(files).flatMap((file) => /^(?:packages|examples)\/[^/]+/.exec(file)?.[0] ?? []),
  )
  for (const directory of directories) {
    const name = `@streamswitch/${directory.split('/')[1]}`
    const exports = name === '@streamswitch/core' ? { ...EXPORTS, './driver': {} } : EXPORTS
    write(join(root, directory, 'package.json'), JSON.stringify({ name, exports, scripts: { test: 'vitest run' } }))
  }
  for (const [file, content] of Object.entries(files)) write(join(root, file), content)
  return root
}

/**
 * @param {string} file
 * @param {string} content
 */
function write(file, content) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
}
