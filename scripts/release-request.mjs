import { setReleaseVersion, unreleasedChanges } from './release-version.mjs'
import { mustRun, ScriptFailure } from './run.mjs'
import { ROOT } from './workspace.mjs'

/** Where the next version is proposed. Written again with each change that is merged before it. */
const BRANCH = 'release/next'

/**
 * Proposes the next version as a pull request with what `release:version` writes, or brings the one that is open up to date. Does nothing
 * when `.changeset` names no change. Needs git, the right to push, and GitHub's command line, which takes its token from GH_TOKEN.
 *
 * @param {string} [root]
 */
export async function requestRelease(root = ROOT) {
  const here = { cwd: root }
  const changes = await mustRun('git', ['status', '--porcelain'], { ...here, output: 'capture' })
  if (changes.trim() !== '') throw new ScriptFailure(`there are changes that aren't committed:\n${changes}`)
  if ((await unreleasedChanges(root)).length === 0) {
    process.stdout.write('.changeset names no change: there is nothing to release\n')
    return
  }
  const base = (await mustRun('git', ['rev-parse', '--abbrev-ref', 'HEAD'], { ...here, output: 'capture' })).trim()
  const title = `Version ${await setReleaseVersion(root)}`
  await mustRun('git', ['switch', '--force-create', BRANCH], here)
  await mustRun('git', ['add', '--all'], here)
  await mustRun('git', ['commit', '--message', title], here)
  await mustRun('git', ['push', '--force', 'origin', BRANCH], here)
  const list = [
    'pr',
    'list',
    '--head',
    BRANCH,
    '--base',
    base,
    '--state',
    'open',
    '--json',
    'number',
    '--jq',
    '.[].number',
  ]
  const number = (await mustRun('gh', list, { ...here, output: 'capture' })).trim()
  if (number !== '') {
    await mustRun('gh', ['pr', 'edit', number, '--title', title], here)
    return
  }
  const body = `Merge it and push the tag v${title.slice('Version '.length)}: see Releases in CONTRIBUTING.md.`
  await mustRun('gh', ['pr', 'create', '--head', BRANCH, '--base', base, '--title', title, '--body', body], here)
}
