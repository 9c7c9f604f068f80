import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { releaseProblems } from '../pack-release.mjs'
import { readRelease, sha256 } from '../release-files.mjs'
import { missingIn, withPeers, writeSbom } from '../sbom.mjs'
import { ROOT, workspacePackages } from '../workspace.mjs'

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

  test("is made by the project's scripts and by actions of one commit each; one job alone may publish", () => {
    const workflow = readFileSync(join(ROOT, '.github/workflows/release.yml'), 'utf8')
    const uses = [...workflow.matchAll(/uses: (.*)/g)].map(([, action]) => action)
    expect(uses.length).toBeGreaterThan(0)
    for (const action of uses) expect(action).toMatch(/^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/)
    for (const [, command] of workflow.matchAll(/run: (.*)/g))
      expect(command).toMatch(/^(?:npm run [a-z:]+|npm test|node scripts\/[a-z-]+\.mjs)$/)
    expect(workflow.match(/id-token: write/g)).toHaveLength(1)
    expect(workflow).toMatch(/^permissions: \{\}$/m)
  })
})
