// Makes the release of the tag that is checked out, with what `npm run release:pack` has packed: archives, bills of materials and checksums. It needs Node.js
// and GitHub's command line, which takes its token from GH_TOKEN. A release that exists gets what it lacks.
import { join } from 'node:path'
import { RELEASE_FOLDER, readRelease, SUMS } from './release-files.mjs'
import { mustRun, run } from './run.mjs'

const tag = process.env['GITHUB_REF_NAME'] ?? ''
const files = [...readRelease(), SUMS].map((name) => join(RELEASE_FOLDER, name))
const { code } = await run('gh', ['release', 'view', tag], { output: 'capture' })
if (code !== 0) await mustRun('gh', ['release', 'create', tag, '--verify-tag', '--generate-notes'])
await mustRun('gh', ['release', 'upload', tag, '--clobber', ...files])
