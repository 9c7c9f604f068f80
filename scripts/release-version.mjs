import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import applyPlan from '@changesets/apply-release-plan'
import { read as readConfig } from '@changesets/config'
import getPlan from '@changesets/get-release-plan'
import { getPackages } from '@manypkg/get-packages'
import { ScriptFailure } from './run.mjs'
import { publishedPackages, ROOT } from './workspace.mjs'

/** @typedef {Awaited<ReturnType<typeof getPlan>>} ReleasePlan */
/** @typedef {'none' | 'patch' | 'minor' | 'major'} Bump */

/** @type {readonly Bump[]} */
const BUMPS = ['none', 'patch', 'minor', 'major']
/** Outside of the workspace, as users are: their ranges of this repository's packages are those of npm. */
const OUTSIDERS = ['examples/custom-adapter/streamswitch-files/package.json', 'docs/writing-an-adapter.md']

/**
 * Turns the files in `.changeset` into the next version of all published packages and their `CHANGELOG.md`. Rejects when there is no such
 * file.
 *
 * @param {string} [root]
 * @returns {Promise<string>} The version.
 */
export async function setReleaseVersion(root = ROOT) {
  const packages = await getPackages(root)
  const config = await readConfig(root, packages)
  const published = new Set(publishedPackages(root).map(({ manifest }) => manifest.name))
  const plan = asAsked(await getPlan(root), published)
  const version = plan.releases[0]?.newVersion
  if (version === undefined)
    throw new ScriptFailure('.changeset names no change: npm run changeset writes one; there is nothing to release')
  // The generator of changelogs is this repository's.
  await applyPlan(plan, packages, config, undefined, ROOT)
  for (const path of OUTSIDERS) raiseRanges(join(root, path), version)
  return version
}

/**
 * The version of all packages by what the changes ask for, and no more: a package that leaves the range of a peer counts as a major change for
 * changesets, so that 0.2.0 of core would make 1.0.0 of everything. The packages are released together, and no range is left behind.
 *
 * @param {ReleasePlan} plan
 * @param {ReadonlySet<string>} published Names; the other packages of the workspace have no versions.
 * @returns {ReleasePlan}
 */
function asAsked(plan, published) {
  const asked = plan.changesets.flatMap(({ releases }) => releases.map(({ type }) => BUMPS.indexOf(type)))
  const type = BUMPS[Math.max(0, ...asked)] ?? 'none'
  if (type === 'none') return { ...plan, releases: [] }
  return {
    ...plan,
    releases: plan.releases
      .filter(({ name }) => published.has(name))
      .map((release) => ({ ...release, type, newVersion: increased(release.oldVersion, type) })),
  }
}

/**
 * @param {string} version
 * @param {Bump} type
 */
function increased(version, type) {
  const parts = /^(\d+)\.(\d+)\.(\d+)$/.exec(version)?.slice(1).map(Number)
  if (parts === undefined) throw new ScriptFailure(`${version} is no version that can be increased: expected x.y.z`)
  const [major = 0, minor = 0, patch = 0] = parts
  if (type === 'major') return `${major + 1}.0.0`
  return type === 'minor' ? `${major}.${minor + 1}.0` : `${major}.${minor}.${patch + 1}`
}

/**
 * @param {string} file
 * @param {string} version
 */
function raiseRanges(file, version) {
  if (!existsSync(file)) return
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replaceAll(/("@streamswitch\/[a-z-]+": "\^)\d+\.\d+\.\d+"/g, `$1${version}"`))
}

/**
 * The files that the next version is made from.
 *
 * @param {string} [root]
 * @returns {Promise<string[]>}
 */
export async function unreleasedChanges(root = ROOT) {
  const { changesets } = await getPlan(root)
  return changesets.map(({ id }) => `.changeset/${id}.md`)
}

/**
 * What keeps the present state from being released: changes without a version, versions without a changelog, packages of different versions.
 *
 * @param {string} [root]
 * @returns {Promise<string[]>}
 */
export async function unreleasedProblems(root = ROOT) {
  const changes = await unreleasedChanges(root)
  const published = publishedPackages(root)
  const first = published[0]?.manifest.version
  return [
    ...changes.map((file) => `${file}: has no version yet: run npm run release:version`),
    ...published.flatMap(({ directory, manifest: { version } }) => [
      ...(version === first ? [] : [`${directory}/package.json: has version ${version}, others have ${first}`]),
      ...(announces(join(root, directory, 'CHANGELOG.md'), version)
        ? []
        : [`${directory}/CHANGELOG.md: has no section '## ${version}'`]),
    ]),
  ]
}

/**
 * @param {string} file
 * @param {string | undefined} version
 */
function announces(file, version) {
  return existsSync(file) && readFileSync(file, 'utf8').split('\n').includes(`## ${version}`)
}
