import { readFileSync, writeFileSync } from 'node:fs'
import { mustRun, ScriptFailure } from './run.mjs'
import { workspacePackages } from './workspace.mjs'

/**
 * @typedef {object} Component
 * @property {string} type
 * @property {string} name
 * @property {string} [group]
 * @property {string} version
 * @property {string} purl
 * @property {string} bom-ref
 *
 * @typedef {object} Bom What is used of a CycloneDX document.
 * @property {string} bomFormat
 * @property {{ component: Component }} metadata
 * @property {Component[]} components
 * @property {{ ref: string, dependsOn: string[] }[]} dependencies
 */

/** Read by more tools than the newest version of the format. */
const SPEC_VERSION = '1.6'

/**
 * Writes the bill of materials (CycloneDX, JSON) of a package: all that is installed with it, in the versions of the lockfile, which are the
 * tested ones. Rejects where a dependency of the package is missing in it.
 *
 * @param {import('./workspace.mjs').WorkspacePackage} one
 * @param {string} file
 */
export async function writeSbom({ manifest }, file) {
  const format = ['--sbom-format', 'cyclonedx', '--sbom-spec-version', SPEC_VERSION]
  await mustRun('pnpm', ['sbom', '--filter', manifest.name, '--prod', ...format, '--out', file], { output: 'capture' })
  const bom = withPeers(JSON.parse(readFileSync(file, 'utf8')), manifest)
  const missing = missingIn(bom, manifest)
  if (missing.length > 0)
    throw new ScriptFailure(`the bill of materials of ${manifest.name} lacks ${missing.join(', ')}`)
  writeFileSync(file, `${JSON.stringify(bom, null, 2)}\n`)
}

/**
 * Adds the packages of this repository that a package wants beside it: pnpm leaves them out.
 *
 * @param {Bom} bom
 * @param {import('./workspace.mjs').Manifest} manifest
 * @param {readonly import('./workspace.mjs').WorkspacePackage[]} [workspace]
 * @returns {Bom}
 */
export function withPeers(bom, { peerDependencies = {} }, workspace = workspacePackages()) {
  const root = bom.metadata.component['bom-ref']
  const peers = workspace
    .filter(({ manifest: { name } }) => Object.hasOwn(peerDependencies, name))
    .map(({ manifest: { name, version = '' } }) => componentOf(name, version))
    .filter(({ purl }) => bom.components.every((component) => component.purl !== purl))
  const added = peers.map((peer) => peer['bom-ref'])
  return {
    ...bom,
    components: [...bom.components, ...peers],
    dependencies: [
      ...bom.dependencies.map((one) => (one.ref === root ? { ...one, dependsOn: [...one.dependsOn, ...added] } : one)),
      ...added.map((ref) => ({ ref, dependsOn: [] })),
    ],
  }
}

/**
 * @param {string} name
 * @param {string} version
 * @returns {Component}
 */
function componentOf(name, version) {
  const [group, own = name] = name.startsWith('@') ? name.split('/') : [undefined, name]
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`
  return { type: 'library', ...(group === undefined ? {} : { group }), name: own, version, purl, 'bom-ref': purl }
}

/**
 * @param {Bom} bom
 * @param {import('./workspace.mjs').Manifest} manifest
 * @returns {string[]} Names of dependencies that aren't listed, or that nothing leads to from the package.
 */
export function missingIn(bom, { dependencies = {}, optionalDependencies = {}, peerDependencies = {} }) {
  const own = Object.keys(peerDependencies).filter((name) => name.startsWith('@streamswitch/'))
  const direct = bom.dependencies.find(({ ref }) => ref === bom.metadata.component['bom-ref'])?.dependsOn ?? []
  const listed = new Set(bom.components.map((component) => component['bom-ref']))
  const found = direct.filter((ref) => listed.has(ref))
  return [...Object.keys({ ...dependencies, ...optionalDependencies }), ...own].filter(
    (name) => !found.some((ref) => ref.startsWith(`pkg:npm/${name.replace('@', '%40')}@`)),
  )
}
