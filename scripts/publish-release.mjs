// Publishes what `npm run release:pack` has packed, with provenance: `node scripts/publish-release.mjs`. It needs nothing but Node.js and npm, so that
// nothing else runs where packages may be published. What the registry has already is left alone: after a failure it can be started again.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { archiveName, RELEASE_FOLDER, readRelease } from './release-files.mjs'
import { mustRun, run, ScriptFailure } from './run.mjs'
import { publishedPackages } from './workspace.mjs'

/** Trusted publishing came with this version. */
const OLDEST_NPM = [11, 5, 1]

/**
 * @param {string} [folder]
 * @param {readonly import('./workspace.mjs').WorkspacePackage[]} [packages]
 */
export async function publishRelease(folder = RELEASE_FOLDER, packages = publishedPackages()) {
  const { output } = await run('npm', ['--version'], { output: 'capture' })
  if (isOlder(output.trim().split('.').map(Number), OLDEST_NPM))
    throw new ScriptFailure(
      `npm ${OLDEST_NPM.join('.')} or newer is needed for trusted publishing; this is ${output.trim()}`,
    )
  const files = readRelease(folder)
  for (const { manifest } of packages) {
    const name = `${archiveName(manifest)}.tgz`
    if (!files.includes(name)) throw new ScriptFailure(`${name} is missing in ${folder}: run npm run release:pack`)
    const known = await run('npm', ['view', `${manifest.name}@${manifest.version}`, 'version'], { output: 'capture' })
    if (known.code === 0 && known.output.trim() === manifest.version) {
      process.stdout.write(`${name}: is published already\n`)
      continue
    }
    await mustRun('npm', ['publish', join(folder, name), '--provenance', '--access', 'public', '--ignore-scripts'])
  }
}

/**
 * @param {readonly number[]} version
 * @param {readonly number[]} oldest
 */
function isOlder(version, oldest) {
  const at = oldest.findIndex((part, index) => version[index] !== part)
  return at >= 0 && (version[at] ?? 0) < (oldest[at] ?? 0)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await publishRelease().catch((error) => {
    if (!(error instanceof ScriptFailure)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exitCode = error.exitCode
  })
}
