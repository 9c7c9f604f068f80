// Checks which versions of other packages users get: a range, so that they receive corrections without waiting for a release here, except
// where a package patches the internals of a dependency, which any release of it may change. Prints each violation.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { filesBelow, publishedPackages, ROOT } from './workspace.mjs'

/** Dependencies whose internals are patched or imported, and where. Their versions are exact. */
const PATCHED = {
  amqplib: 'packages/amqp/src/exact-frames.ts',
  kafkajs: 'packages/kafka/src/kafkajs-patches.ts',
  'rabbitmq-stream-js-client': 'packages/rabbitmq-stream/src/client-patches/library.ts',
}

const EXACT = /^\d+\.\d+\.\d+(-[\w.]+)?$/

/**
 * Finds every version that isn't what it should be.
 *
 * @param {string} [root]
 * @param {Record<string, string>} [patched] Files by the dependency whose internals they patch.
 * @returns {string[]} One line per violation.
 */
export function findRangeViolations(root = ROOT, patched = PATCHED) {
  const catalog = readCatalog(readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8'))
  const published = publishedPackages(root)
  const installed = new Set(published.flatMap(({ manifest }) => installedWith(manifest)))
  return [
    ...Object.entries(patched)
      .filter(([name, file]) => !existsSync(join(root, file)) || !installed.has(name))
      .map(([name, file]) => `${name}: ${file} patches it no more: take it off the list and give it a range`),
    ...published.flatMap((one) => manifestViolations(one)),
    ...published.flatMap(({ directory, manifest }) =>
      internalImports(root, directory, installedWith(manifest), patched),
    ),
    ...Object.entries(catalog).flatMap(([name, version]) => versionViolations(name, version, installed, patched)),
  ]
}

/**
 * @param {import('./workspace.mjs').Manifest} manifest
 * @returns {string[]} What is installed with a package. Peers are the user's own choice.
 */
function installedWith({ dependencies = {}, optionalDependencies = {} }) {
  return [...Object.keys(dependencies), ...Object.keys(optionalDependencies)]
}

/** @param {import('./workspace.mjs').WorkspacePackage} one */
function manifestViolations({ directory, manifest: { dependencies = {}, optionalDependencies = {} } }) {
  return Object.entries({ ...dependencies, ...optionalDependencies })
    .filter(([, version]) => version !== 'catalog:' && !version.startsWith('workspace:'))
    .map(
      ([name]) => `${directory}/package.json: ${name} must be 'catalog:': versions are stated in pnpm-workspace.yaml`,
    )
}

/**
 * @param {string} root
 * @param {string} directory
 * @param {readonly string[]} names
 * @param {Record<string, string>} patched
 */
function internalImports(root, directory, names, patched) {
  const unlisted = names.filter((name) => !Object.hasOwn(patched, name))
  return filesBelow(root, `${directory}/src`, /\.ts$/).flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8')
    return unlisted
      .filter((name) =>
        [`'${name}/dist/`, `'${name}/lib/`, `'${name}/src/`, `'${name}/built/`].some((path) => text.includes(path)),
      )
      .map((name) => `${file}: imports internals of ${name}, which has a range: put it on the list of patched packages`)
  })
}

/**
 * @param {string} name
 * @param {string} version
 * @param {ReadonlySet<string>} installed
 * @param {Record<string, string>} patched
 */
function versionViolations(name, version, installed, patched) {
  const isRange = installed.has(name) && !Object.hasOwn(patched, name)
  if (EXACT.test(isRange ? version.slice(1) : version) && (!isRange || version.startsWith('^'))) return []
  const reason = isRange
    ? 'users install it, and nothing here patches it'
    : 'it is patched, or a tool of this repository'
  return [`pnpm-workspace.yaml: ${name}: ${version} must be ${isRange ? 'a range such as ^1.2.3' : 'exact'}: ${reason}`]
}

/**
 * @param {string} text The workspace file.
 * @returns {Record<string, string>} Versions by name.
 */
function readCatalog(text) {
  const [, section = ''] = /^catalog:\n((?: {2}.*\n)+)/m.exec(text) ?? []
  return Object.fromEntries(
    [...section.matchAll(/^ {2}'?([^':]+)'?: (\S+)$/gm)].map(([, name = '', version = '']) => [name, version]),
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = findRangeViolations()
  for (const violation of violations) process.stderr.write(`${violation}\n`)
  process.stdout.write(`dependency ranges: ${violations.length === 0 ? 'kept' : `${violations.length} violations`}\n`)
  if (violations.length > 0) process.exitCode = 1
}
