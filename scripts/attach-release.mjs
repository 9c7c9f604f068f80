// Makes the release of the tag that is checked out, with what `npm run release:pack` has packed: archives, bills of materials and checksums. It needs Node.js
// and GitHub's command line, which takes its token from GH_TOKEN. A release that exists gets what it lacks.
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { RELEASE_FOLDER, readRelease, SUMS } from './release-files.mjs'
import { mustRun, run } from './run.mjs'

/**
 * @param {string} tag
 * @param {string} [folder]
 */
export async function attachRelease(tag, folder = RELEASE_FOLDER) {
  const files = [...readRelease(folder), SUMS].map((name) => join(folder, name))
  const { code } = await run('gh', ['release', 'view', tag], { output: 'capture' })
  if (code !== 0) await mustRun('gh', ['release', 'create', tag, '--verify-tag', '--generate-notes'])
  await mustRun('gh', ['release', 'upload', tag, '--clobber', ...files])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await attachRelease(process.env['GITHUB_REF_NAME'] ?? '')
