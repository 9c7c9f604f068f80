// Checks who imports whom: examples -> adapters -> core/driver -> core, testkit -> core. Prints each violation with its
// place.
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readModule } from './modules.mjs'
import { filesBelow, ROOT, workspacePackages } from './workspace.mjs'

const SOURCE = /\.(ts|mts|cts|js|mjs|cjs)$/
/** Packages below packages/ that are no adapters. */
const NOT_ADAPTERS = ['packages/core', 'packages/testkit', 'packages/cli']
const TRANSPORT_NAME = /kafka|redis|rabbitmq|amqp|\bmemory\b|\bhttps?\b/i

const TESTKIT = [
  '@streamswitch/testkit',
  '@streamswitch/testkit/brokers',
  '@streamswitch/testkit/faults',
  '@streamswitch/testkit/foreign',
  '@streamswitch/testkit/fuzz',
  '@streamswitch/testkit/simulation',
  '@streamswitch/testkit/operator',
  '@streamswitch/testkit/rights',
]
const CORE = ['@streamswitch/core', '@streamswitch/core/driver']

/**
 * @typedef {object} Rule
 * @property {readonly string[] | 'all'} allowed Workspace specifiers that these files may import.
 * @property {string} reason Completes "imports X: ...".
 */

/** @type {Record<'core' | 'testkit' | 'adapter' | 'adapterTest' | 'cli' | 'service' | 'free', Rule>} */
const RULES = {
  core: { allowed: [], reason: 'core knows no adapter and no testkit, in its tests neither' },
  testkit: { allowed: CORE, reason: 'testkit depends on core alone, so that every adapter can use it' },
  adapter: {
    allowed: ['@streamswitch/core/driver'],
    reason: 'an adapter uses only @streamswitch/core/driver, the door that third parties have',
  },
  adapterTest: {
    allowed: [...CORE, ...TESTKIT],
    reason: "an adapter's tests use core, the testkit and their own package",
  },
  cli: { allowed: CORE, reason: 'the command line finds adapters as an application does, by name' },
  service: { allowed: ['@streamswitch/core'], reason: 'a service must run on every transport, so it knows core alone' },
  free: { allowed: 'all', reason: '' },
}

/**
 * @param {string} directory
 * @param {string} file
 * @returns {Rule}
 */
function ruleFor(directory, file) {
  if (directory === 'packages/core') return RULES.core
  if (directory === 'packages/testkit') return RULES.testkit
  if (directory === 'packages/cli') return RULES.cli
  if (directory.startsWith('packages/')) return file.startsWith(`${directory}/src/`) ? RULES.adapter : RULES.adapterTest
  return isService(directory, file) ? RULES.service : RULES.free
}

/**
 * @param {string} directory
 * @param {string} file
 */
function isService(directory, file) {
  return directory.startsWith('examples/') && file.startsWith(`${directory}/src/`) && file.endsWith('-service.ts')
}

/**
 * @param {string} specifier
 * @returns {{ name: string, subpath: string } | undefined} Undefined when it isn't one of ours.
 */
function splitWorkspaceSpecifier(specifier) {
  const match = /^(@streamswitch\/[^/]+)(\/.+)?$/.exec(specifier)
  return match?.[1] === undefined ? undefined : { name: match[1], subpath: `.${match[2] ?? ''}` }
}

/**
 * Finds every import that crosses a boundary, and every service that names a transport.
 *
 * @param {string} [root]
 * @returns {string[]} One line per violation: `file:line: what is wrong and why`.
 */
export function findBoundaryViolations(root = ROOT) {
  const packages = workspacePackages(root)
  const manifests = new Map(packages.map(({ manifest }) => [manifest.name, manifest]))
  return packages.flatMap(({ directory, manifest }) =>
    ['src', 'test'].flatMap((folder) =>
      filesBelow(root, `${directory}/${folder}`, SOURCE).flatMap((file) => {
        const { text, imports } = readModule(root, file)
        const rule = ruleFor(directory, file)
        const violations = imports.flatMap(({ specifier, line }) => {
          const problem = problemWith(specifier, { directory, file, rule, own: manifest.name, manifests })
          return problem === undefined ? [] : [`${file}:${line}: imports ${specifier}: ${problem}`]
        })
        return isService(directory, file) ? [...violations, ...transportNames(file, text)] : violations
      }),
    ),
  )
}

/**
 * @param {string} specifier
 * @param {{ directory: string, file: string, rule: Rule, own: string, manifests: Map<string,
 *   import('./workspace.mjs').Manifest> }} place
 * @returns {string | undefined}
 */
function problemWith(specifier, { directory, file, rule, own, manifests }) {
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(file), specifier)
    return target.startsWith(`${directory}/`) ? undefined : 'a relative import stays within its package'
  }
  const ours = splitWorkspaceSpecifier(specifier)
  if (ours === undefined) return undefined
  if (ours.name === own)
    return file.startsWith(`${directory}/src/`) ? 'within a package, imports are relative' : undefined
  if (rule.allowed !== 'all' && !rule.allowed.includes(specifier)) return rule.reason
  const target = manifests.get(ours.name)
  if (target !== undefined && target.exports?.[ours.subpath] === undefined && target.private !== true) {
    return `${ours.name} does not export ${ours.subpath}`
  }
  return undefined
}

/**
 * @param {string} file
 * @param {string} text
 */
function transportNames(file, text) {
  return text.split('\n').flatMap((line, index) => {
    const name = TRANSPORT_NAME.exec(line)?.[0]
    return name === undefined
      ? []
      : [`${file}:${index + 1}: names the transport "${name}": a service must run on every transport`]
  })
}

/** Folders below packages/ that hold an adapter. */
export function adapterDirectories(root = ROOT) {
  return workspacePackages(root)
    .map(({ directory }) => directory)
    .filter((directory) => directory.startsWith('packages/') && !NOT_ADAPTERS.includes(directory))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = findBoundaryViolations()
  for (const violation of violations) process.stderr.write(`${violation}\n`)
  process.stdout.write(`import boundaries: ${violations.length === 0 ? 'kept' : `${violations.length} violations`}\n`)
  if (violations.length > 0) process.exitCode = 1
}
