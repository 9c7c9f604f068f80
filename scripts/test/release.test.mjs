import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { attachRelease } from '../attach-release.mjs'
import { releaseProblems } from '../pack-release.mjs'
import { publishRelease } from '../publish-release.mjs'
import { readRelease, sha256 } from '../release-files.mjs'
import { missingIn, withPeers, writeSbom } from '../sbom.mjs'
import { ROOT, workspacePackages } from '../workspace.mjs'
import { plantProgram } from './planted-program.mjs'

function folderOfTest() {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-release-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

describe('the bill of materials', () => {
  test('of a package has its dependencies, those of these, and the packages that it wants beside it', async () => {
    const file = join(folderOfTest(), 'http.cdx.json')
    const http = workspacePackages().find(({ directory }) => directory === 'packages/http')
    if (http === undefined) throw new Error('there is no packages/http')
    await writeSbom(http, file)
    const bom = JSON.parse(readFileSync(file, 'utf8'))
    const { version } = http.manifest
    expect(bom).toMatchObject({
      bomFormat: 'CycloneDX',
      specVersion: '1.6',
      metadata: { component: { purl: `pkg:npm/%40streamswitch/http@${version}` } },
    })
    /** @type {string[]} */
    const refs = bom.components.map((/** @type {{ purl: string }} */ { purl }) => purl)
    expect(new Set(refs).size).toBe(refs.length)
    for (const name of ['fastify', 'undici', 'find-my-way', '%40streamswitch/core'])
      expect(refs.filter((ref) => ref.startsWith(`pkg:npm/${name}@`))).toHaveLength(1)
    expect(refs.filter((ref) => ref.startsWith('pkg:npm/vitest@'))).toEqual([])
    for (const { ref, dependsOn } of bom.dependencies)
      for (const one of [ref, ...dependsOn]) expect([...refs, bom.metadata.component['bom-ref']]).toContain(one)
  })

  test('that lacks a dependency, or the way to it, is refused', () => {
    const component = (/** @type {string} */ name) => ({
      type: 'library',
      name,
      version: '1.0.0',
      purl: `pkg:npm/${name}@1.0.0`,
      'bom-ref': `pkg:npm/${name}@1.0.0`,
    })
    const bom = {
      bomFormat: 'CycloneDX',
      metadata: { component: component('own') },
      components: [component('a'), component('b')],
      dependencies: [{ ref: 'pkg:npm/own@1.0.0', dependsOn: ['pkg:npm/a@1.0.0', 'pkg:npm/c@1.0.0'] }],
    }
    const manifest = {
      name: 'own',
      dependencies: { a: '^1.0.0', b: '^1.0.0' },
      optionalDependencies: { c: '^1.0.0' },
      peerDependencies: { '@streamswitch/core': 'workspace:^', vitest: '^4.0.0' },
    }
    expect(missingIn(bom, manifest)).toEqual(['b', 'c', '@streamswitch/core'])
    const core = { directory: 'packages/core', manifest: { name: '@streamswitch/core', version: '0.1.0' } }
    expect(missingIn(withPeers(bom, manifest, [core]), manifest)).toEqual(['b', 'c'])
  })
})

describe('a release', () => {
  const one = (/** @type {string} */ version, /** @type {string} */ url) => ({
    directory: 'packages/core',
    manifest: { name: '@streamswitch/core', version, repository: { url } },
  })
  const TAGGED = { GITHUB_REF_TYPE: 'tag', GITHUB_REF_NAME: 'v1.2.3', GITHUB_REPOSITORY: 'owner/streams' }

  test('has the version of its tag and the repository that it is made in', () => {
    const url = 'git+https://example.org/owner/streams.git'
    expect(releaseProblems([one('1.2.3', url)], TAGGED)).toEqual([])
    expect(releaseProblems([one('1.2.4', 'git+https://example.org/other/streams.git')], TAGGED)).toEqual([
      expect.stringContaining('has version 1.2.4, the tag is v1.2.3'),
      expect.stringContaining('"repository" must name owner/streams'),
    ])
    expect(releaseProblems([one('1.2.4', '')], {})).toEqual([])
  })

  test('that was changed after it was packed is refused', () => {
    const folder = folderOfTest()
    writeFileSync(join(folder, 'a-1.0.0.tgz'), 'packed')
    writeFileSync(join(folder, 'SHA256SUMS'), `${sha256(join(folder, 'a-1.0.0.tgz'))}  a-1.0.0.tgz\n`)
    expect(readRelease(folder)).toEqual(['a-1.0.0.tgz'])
    writeFileSync(join(folder, 'a-1.0.0.tgz'), 'changed')
    expect(() => readRelease(folder)).toThrow('is not what was packed')
  })

  /** A folder with what `release:pack` makes of a package. */
  function packed() {
    const folder = folderOfTest()
    const name = 'streamswitch-core-1.2.3.tgz'
    writeFileSync(join(folder, name), 'packed')
    writeFileSync(join(folder, 'SHA256SUMS'), `${sha256(join(folder, name))}  ${name}\n`)
    return { folder, file: join(folder, name) }
  }

  const core = one('1.2.3', '')

  test('is published with provenance, without what the registry has', async () => {
    const { folder, file } = packed()
    const calls = plantProgram('npm', '[ "$1" = --version ] && echo 11.6.0; [ "$1" != view ]')
    await publishRelease(folder, [core])
    expect(calls().at(-1)).toBe(`publish ${file} --provenance --access public --ignore-scripts`)
    const known = plantProgram('npm', '[ "$1" = --version ] && echo 11.6.0; [ "$1" = view ] && echo 1.2.3; exit 0')
    await publishRelease(folder, [core])
    expect(known()).toEqual(['--version', 'view @streamswitch/core@1.2.3 version'])
  })

  test('is not published by an npm without trusted publishing, nor without a package', async () => {
    const { folder } = packed()
    const old = plantProgram('npm', 'echo 11.5.0')
    await expect(publishRelease(folder, [core])).rejects.toThrow('npm 11.5.1 or newer is needed')
    expect(old()).toEqual(['--version'])
    plantProgram('npm', 'echo 11.5.1')
    const other = { directory: 'packages/redis', manifest: { name: '@streamswitch/redis', version: '1.2.3' } }
    await expect(publishRelease(folder, [other])).rejects.toThrow('streamswitch-redis-1.2.3.tgz is missing')
  })

  test('gets its files, also one that exists', async () => {
    const { folder, file } = packed()
    const upload = `release upload v1.2.3 --clobber ${file} ${join(folder, 'SHA256SUMS')}`
    const calls = plantProgram('gh', '[ "$2" != view ]')
    await attachRelease('v1.2.3', folder)
    expect(calls()).toEqual(['release view v1.2.3', 'release create v1.2.3 --verify-tag --generate-notes', upload])
    const existing = plantProgram('gh')
    await attachRelease('v1.2.3', folder)
    expect(existing()).toEqual(['release view v1.2.3', upload])
  })

  test.each(['release.yml', 'version.yml'])('%s uses actions of one commit each, and rights by job', (file) => {
    const workflow = readFileSync(join(ROOT, '.github/workflows', file), 'utf8')
    const uses = [...workflow.matchAll(/uses: (.*)/g)].map(([, action]) => action)
    expect(uses.length).toBeGreaterThan(0)
    for (const action of uses) expect(action).toMatch(/^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
    expect(workflow).toMatch(/^permissions: \{\}$/m)
  })

  test('is published by one job alone', () => {
    const workflow = readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')
    expect(workflow.match(/id-token: write/g)).toHaveLength(1)
  })
})
