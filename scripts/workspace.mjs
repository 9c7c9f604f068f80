import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The repository's root folder. */
export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))

/**
 * @typedef {object} Manifest What the scripts read of a package.json.
 * @property {string} name
 * @property {boolean} [private]
 * @property {string} [description]
 * @property {string} [packageManager]
 * @property {Record<string, string>} [scripts]
 * @property {Record<string, unknown>} [exports]
 * @property {string} [version]
 * @property {string | { url?: string }} [repository]
 * @property {Record<string, string>} [dependencies]
 * @property {Record<string, string>} [optionalDependencies]
 * @property {Record<string, string>} [peerDependencies]
 */

/**
 * @typedef {object} WorkspacePackage
 * @property {string} directory Relative to the root, with forward slashes: `packages/core`.
 * @property {Manifest} manifest
 */

/**
 * @param {string} file
 * @returns {Manifest}
 */
export function readManifest(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/**
 * Every package of the workspace, in the order of their folders. Must agree with `packages` in pnpm-workspace.yaml,
 * which can't be read here: these scripts run before anything is installed.
 *
 * @param {string} [root]
 * @returns {WorkspacePackage[]}
 */
export function workspacePackages(root = ROOT) {
  const directories = [
    ...foldersIn(root, 'packages'),
    'benchmarks',
    ...foldersIn(root, 'examples'),
    'scripts',
    ...foldersIn(root, 'scripts'),
  ]
  return directories
    .filter((directory) => existsSync(join(root, directory, 'package.json')))
    .map((directory) => ({ directory, manifest: readManifest(join(root, directory, 'package.json')) }))
}

/**
 * The packages that users install.
 *
 * @param {string} [root]
 */
export function publishedPackages(root = ROOT) {
  return workspacePackages(root).filter(({ manifest }) => manifest.private !== true)
}

/**
 * Every file below a folder whose name matches, as paths relative to `root` with forward slashes; none when the folder
 * is missing.
 *
 * @param {string} root
 * @param {string} directory
 * @param {RegExp} pattern
 * @returns {string[]}
 */
export function filesBelow(root, directory, pattern) {
  if (!existsSync(join(root, directory))) return []
  return readdirSync(join(root, directory), { withFileTypes: true })
    .toSorted((left, right) => left.name.localeCompare(right.name))
    .flatMap((entry) => {
      const path = `${directory}/${entry.name}`
      if (entry.isDirectory()) return entry.name === 'node_modules' ? [] : filesBelow(root, path, pattern)
      return pattern.test(entry.name) ? [path] : []
    })
}

/**
 * @param {string} root
 * @param {string} parent
 * @returns {string[]}
 */
function foldersIn(root, parent) {
  if (!existsSync(join(root, parent))) return []
  return readdirSync(join(root, parent), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${parent}/${entry.name}`)
    .toSorted()
}
