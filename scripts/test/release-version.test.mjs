import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { requestRelease } from '../release-request.mjs'
import { setReleaseVersion, unreleasedProblems } from '../release-version.mjs'
import { mustRun } from '../run.mjs'
import { publishedPackages, ROOT, readManifest } from '../workspace.mjs'
import { plantProgram } from './planted-program.mjs'
import { plantTree } from './planted-tree.mjs'

const CHANGELOG = { 'packages/core/CHANGELOG.md': '# @streamswitch/core\n\n## 0.1.0\n\nold\n' }

/**
 * @param {Record<string, string>} changes Texts by the names of their files in `.changeset`.
 * @param {Record<string, string>} [files]
 */
function plant(changes, files = {}) {
  const core = { '@streamswitch/core': 'workspace:^' }
  /** @type {Record<string, object>} */
  const packages = { core: {}, redis: { peerDependencies: core, devDependencies: core }, testkit: {} }
  const config = JSON.parse(readFileSync(join(ROOT, '.changeset/config.json'), 'utf8'))
  const fixed = [Object.keys(packages).map((name) => `@streamswitch/${name}`)]
  const root = plantTree({
    ...Object.fromEntries(Object.keys(packages).map((name) => [`packages/${name}/README.md`, `# ${name}\n`])),
    'examples/custom-adapter/streamswitch-files/package.json':
      '{ "peerDependencies": { "@streamswitch/core": "^0.1.0", "other": "^0.1.0" } }\n',
    '.changeset/config.json': JSON.stringify({ ...config, fixed }),
    ...Object.fromEntries(Object.entries(changes).map(([name, text]) => [`.changeset/${name}.md`, text])),
    ...files,
  })
  const writeManifest = (/** @type {string} */ directory, /** @type {object} */ manifest) =>
    writeFileSync(join(root, directory, 'package.json'), JSON.stringify(manifest))
  writeManifest('.', { name: 'root', private: true })
  writeFileSync(join(root, 'pnpm-workspace.yaml'), 'packages:\n  - packages/*\n  - examples/*\n')
  for (const [name, more] of Object.entries(packages))
    writeManifest(`packages/${name}`, { name: `@streamswitch/${name}`, version: '0.1.0', ...more })
  const example = { name: '@streamswitch/example', version: '0.0.0', private: true, dependencies: core }
  writeManifest('examples/custom-adapter', example)
  return root
}

/** @param {string} root */
function versions(root) {
  return Object.fromEntries(
    ['core', 'redis', 'testkit'].map((name) => [
      name,
      readManifest(join(root, `packages/${name}/package.json`)).version,
    ]),
  )
}

const change = (/** @type {string} */ bump, name = 'core') =>
  `---\n"@streamswitch/${name}": ${bump}\n---\n\nSends are faster.\n`

describe('the next version', () => {
  test.each([
    ['patch', '0.1.1'],
    ['minor', '0.2.0'],
    ['major', '1.0.0'],
  ])(
    'a %s change gives all packages the version %s, whatever ranges they have of each other',
    async (bump, version) => {
      const root = plant({ one: change(bump), two: change('patch', 'redis') })
      expect(await setReleaseVersion(root)).toBe(version)
      expect(versions(root)).toEqual({ core: version, redis: version, testkit: version })
      expect(readManifest(join(root, 'packages/redis/package.json')).peerDependencies).toEqual({
        '@streamswitch/core': 'workspace:^',
      })
      const changelog = readFileSync(join(root, 'packages/core/CHANGELOG.md'), 'utf8')
      expect(changelog).toContain(`## ${version}\n`)
      expect(changelog).toContain('Sends are faster.')
      expect(existsSync(join(root, '.changeset/one.md'))).toBe(false)
      expect(await unreleasedProblems(root)).toEqual([])
    },
  )

  test('is raised in the ranges of who is outside of the workspace, and nowhere else', async () => {
    const root = plant({ one: change('minor') })
    await setReleaseVersion(root)
    const outsider = readFileSync(join(root, 'examples/custom-adapter/streamswitch-files/package.json'), 'utf8')
    expect(outsider).toBe('{ "peerDependencies": { "@streamswitch/core": "^0.2.0", "other": "^0.1.0" } }\n')
    expect(readManifest(join(root, 'examples/custom-adapter/package.json')).version).toBe('0.0.0')
    expect(existsSync(join(root, 'examples/custom-adapter/CHANGELOG.md'))).toBe(false)
  })

  test('needs a change', async () => {
    await expect(setReleaseVersion(plant({}))).rejects.toThrow('npm run changeset writes one')
  })

  test('changes without a version, versions without a changelog and packages apart are no release', async () => {
    const root = plant({ one: change('minor') }, CHANGELOG)
    writeFileSync(join(root, 'packages/testkit/package.json'), '{"name":"@streamswitch/testkit","version":"0.2.0"}')
    expect(await unreleasedProblems(root)).toEqual([
      '.changeset/one.md: has no version yet: run npm run release:version',
      "packages/redis/CHANGELOG.md: has no section '## 0.1.0'",
      'packages/testkit/package.json: has version 0.2.0, others have 0.1.0',
      "packages/testkit/CHANGELOG.md: has no section '## 0.2.0'",
    ])
  })

  test('all published packages are released together', () => {
    const { fixed, access, baseBranch } = JSON.parse(readFileSync(join(ROOT, '.changeset/config.json'), 'utf8'))
    expect(fixed).toEqual([
      publishedPackages()
        .map(({ manifest }) => manifest.name)
        .toSorted(),
    ])
    expect({ access, baseBranch }).toEqual({ access: 'public', baseBranch: 'main' })
  })
})

describe('a request for the next version', () => {
  /** @param {string} root */
  async function withRemote(root, openRequest = '') {
    const folder = mkdtempSync(join(tmpdir(), 'streamswitch-request-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const gh = plantProgram('gh', `[ "$2" = list ] && echo '${openRequest}'\nexit 0`)
    const git = (/** @type {string[]} */ ...args) => mustRun('git', args, { cwd: root, output: 'capture' })
    await mustRun('git', ['init', '--quiet', '--bare', join(folder, 'remote')], { output: 'capture' })
    await git('init', '--quiet', '--initial-branch=main')
    await git('config', 'user.name', 'test')
    await git('config', 'user.email', 'test@example.org')
    await git('remote', 'add', 'origin', join(folder, 'remote'))
    await git('add', '--all')
    await git('commit', '--quiet', '--message', 'state')
    return { git, gh }
  }

  test('pushes a branch with versions and changelogs, and opens a pull request', async () => {
    const root = plant({ one: change('minor') })
    const { git, gh } = await withRemote(root)
    await requestRelease(root)
    expect(await git('log', '-1', '--format=%s', 'origin/release/next')).toBe('Version 0.2.0\n')
    expect(await git('show', 'origin/release/next:packages/redis/CHANGELOG.md')).toContain('## 0.2.0')
    expect(gh()).toContainEqual(
      expect.stringMatching(/^pr create --head release\/next --base main --title Version 0\.2\.0 /),
    )
  })

  test('brings the one that is open up to date', async () => {
    const root = plant({ one: change('patch') })
    const { gh } = await withRemote(root, '7')
    await requestRelease(root)
    expect(gh()).toEqual([expect.stringMatching(/^pr list /), 'pr edit 7 --title Version 0.1.1'])
  })

  test('is not made without a change, nor over changes that are not committed', async () => {
    const root = plant({})
    const { gh } = await withRemote(root)
    await requestRelease(root)
    expect(gh()).toEqual([])
    writeFileSync(join(root, 'new'), '')
    await expect(requestRelease(root)).rejects.toThrow("aren't committed")
  })
})
