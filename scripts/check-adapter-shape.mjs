// Checks that every adapter package has the same role-named files and the same kind of entry point. Prints each
// violation.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { adapterDirectories } from './check-boundaries.mjs'
import { readModule } from './modules.mjs'
import { filesBelow, ROOT, readManifest } from './workspace.mjs'

const ROLES = ['index', 'adapter', 'options', 'connection', 'producer', 'consumer', 'message', 'errors', 'admin']
const REQUIRED = [...ROLES.map((role) => `src/${role}.ts`), 'test/conformance.test.ts', 'test/errors.test.ts']

/**
 * Finds everything in which an adapter package differs from the shape that all of them share.
 *
 * @param {string} [root]
 * @returns {string[]} One line per violation.
 */
export function findShapeViolations(root = ROOT) {
  return adapterDirectories(root).flatMap((directory) => [
    ...REQUIRED.filter((file) => !existsSync(join(root, directory, file))).map(
      (file) => `${directory}/${file} is missing: every adapter has the same role-named files`,
    ),
    ...manifestViolations(root, directory),
    ...sourceViolations(root, directory),
  ])
}

/**
 * @param {string} root
 * @param {string} directory
 */
function manifestViolations(root, directory) {
  const file = `${directory}/package.json`
  const manifest = readManifest(join(root, file))
  const entry = manifest.exports?.['.']
  const violations = []
  if (typeof entry !== 'object' || entry === null || !('default' in entry)) {
    violations.push(`${file}: exports["."] has no "default" condition: require() of the package would fail`)
  }
  if (manifest.scripts?.['test'] === undefined)
    violations.push(`${file}: has no "test" script: its conformance suite would not run`)
  return violations
}

/**
 * @param {string} root
 * @param {string} directory
 */
function sourceViolations(root, directory) {
  return filesBelow(root, `${directory}/src`, /\.ts$/).flatMap((file) => {
    const { exportsDefault, topLevelAwaits } = readModule(root, file)
    const violations = topLevelAwaits.map(
      (line) =>
        `${file}:${line}: top-level await: require() of the package would fail, and imports have no side effects`,
    )
    if (file === `${directory}/src/index.ts` && !exportsDefault) {
      violations.push(`${file}: has no default export: core loads an adapter by it`)
    }
    return violations
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = findShapeViolations()
  for (const violation of violations) process.stderr.write(`${violation}\n`)
  process.stdout.write(`adapter shape: ${violations.length === 0 ? 'kept' : `${violations.length} violations`}\n`)
  if (violations.length > 0) process.exitCode = 1
}
