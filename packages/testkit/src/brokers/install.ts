import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { withMachineLock } from './lock.js'
import { cacheFolder } from './paths.js'
import { makePrivateFolder } from './private-folder.js'
import { compareVersions, matchesVersion } from './versions.js'

const MANIFEST = 'installed.json'

/** Something that was installed into the cache folder. */
export interface Installation {
  readonly name: string
  readonly version: string
  readonly folder: string
}

/** How to install one thing. */
export interface InstallRecipe {
  readonly name: string
  /** Raised whenever the layout changes, so that an installation by older code is not used. */
  readonly revision: number
  /** Only this version, or one of this series, is accepted; without it the newest installed version is. */
  readonly version?: string
  /** Fills an empty folder and resolves with the version that it now holds. What it writes must not name that folder. */
  build(folder: string, log: InstallLog): Promise<string>
}

/** Takes one line of progress. */
export type InstallLog = (line: string) => void

interface Manifest {
  readonly name: string
  readonly version: string
  readonly revision: number
}

function readManifest(folder: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, MANIFEST), 'utf8')) as Manifest
  } catch {
    return undefined
  }
}

function entriesOf(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).sort() : []
}

/** The newest finished installation that satisfies a recipe, or undefined. A folder without its manifest is unfinished. */
export function findInstalled(
  recipe: Pick<InstallRecipe, 'name' | 'revision' | 'version'>,
  cache: string = cacheFolder(),
): Installation | undefined {
  let newest: Installation | undefined
  for (const entry of entriesOf(cache)) {
    if (entry.startsWith('.')) continue
    const folder = join(cache, entry)
    const manifest = readManifest(folder)
    if (manifest?.name !== recipe.name || manifest.revision !== recipe.revision) continue
    if (recipe.version !== undefined && !matchesVersion(manifest.version, recipe.version)) continue
    if (newest !== undefined && compareVersions(manifest.version, newest.version) < 0) continue
    newest = { name: manifest.name, version: manifest.version, folder }
  }
  return newest
}

/** Removes what an interrupted installation of `name` left behind; call it only while holding the lock. */
async function removeUnfinished(name: string, cache: string = cacheFolder()): Promise<string[]> {
  const removed: string[] = []
  for (const entry of entriesOf(cache)) {
    const temporary = entry.startsWith(`.${name}-`) && entry.includes('.partial-')
    // `redis-8.0.2` belongs to `redis`; a name that goes on with a letter is another one's.
    const unfinished =
      entry.startsWith(`${name}-`) &&
      /^\d/.test(entry.slice(name.length + 1)) &&
      readManifest(join(cache, entry)) === undefined
    if (!temporary && !unfinished) continue
    await rm(join(cache, entry), { recursive: true, force: true })
    removed.push(entry)
  }
  return removed
}

/**
 * Resolves with an installation, made now if there is none yet. It is built in a temporary folder and then renamed, so
 * it exists whole or not at all; processes that ask at the same time wait for the first.
 * Rejects with what the recipe rejects with, and with CONFLICT when the cache folder belongs to another user: what is in it is executed.
 */
export async function ensureInstalled(
  recipe: InstallRecipe,
  log: InstallLog,
  cache: string = cacheFolder(),
): Promise<Installation> {
  await makePrivateFolder(cache)
  const existing = findInstalled(recipe, cache)
  if (existing !== undefined) return existing
  const install = () => installLocked(recipe, log, cache)
  return withMachineLock(cache, `install ${recipe.name}`, install, () =>
    log(`${recipe.name}: another process installs it, waiting`),
  )
}

async function installLocked(recipe: InstallRecipe, log: InstallLog, cache: string): Promise<Installation> {
  const existing = findInstalled(recipe, cache)
  if (existing !== undefined) return existing
  for (const entry of await removeUnfinished(recipe.name, cache)) log(`${recipe.name}: removed the unfinished ${entry}`)
  const started = performance.now()
  const partial = await mkdtemp(join(cache, `.${recipe.name}-${process.pid}.partial-`))
  try {
    const version = await recipe.build(partial, log)
    const manifest: Manifest = { name: recipe.name, version, revision: recipe.revision }
    await writeFile(join(partial, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`)
    const folder = join(cache, `${recipe.name}-${version}`)
    // Only an installation of another revision can be in the way: the lock is ours, and the name is this version's.
    await rm(folder, { recursive: true, force: true })
    await rename(partial, folder)
    log(`${recipe.name}: ${version} installed in ${((performance.now() - started) / 1000).toFixed(1)} s (${folder})`)
    return { name: recipe.name, version, folder }
  } catch (error) {
    await rm(partial, { recursive: true, force: true })
    throw error
  }
}
