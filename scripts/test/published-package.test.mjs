import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { expectedFields, problemsOf } from '../published-package.mjs'

const ROOT = {
  license: 'MIT',
  engines: { node: '>=20.19' },
  bugs: { url: 'https://example.org/x/issues' },
  repository: { type: 'git', url: 'git+https://example.org/x.git' },
}
const EXPECTED = expectedFields(ROOT, 'packages/a')
const MANIFEST = { name: '@x/a', description: 'A', keywords: ['a'], ...EXPECTED }
const GOOD = {
  'package.json': JSON.stringify(MANIFEST),
  'README.md': `# @x/a\n\n${'words '.repeat(100)}[guide](https://example.org/x)\n`,
  LICENSE: 'MIT',
  'dist/index.js.map': JSON.stringify({ sources: ['../src/index.ts'], sourcesContent: ['export {}'] }),
}

/** @param {Record<string, string | undefined>} changed */
function problems(changed) {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-published-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const files = Object.entries({ ...GOOD, ...changed }).filter(([, text]) => text !== undefined)
  for (const [file, text] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
  return problemsOf(
    folder,
    files.map(([file]) => file),
    EXPECTED,
  )
}

it('a complete package has no problems', () => {
  expect(problems({})).toEqual([])
})

it.each([
  ['no README', { 'README.md': undefined }, 'README.md is missing'],
  ['no LICENSE', { LICENSE: undefined }, 'LICENSE is missing'],
  [
    'a README of another package',
    { 'README.md': GOOD['README.md'].replace('@x/a', '@x/b') },
    'README.md must begin with "# @x/a"',
  ],
  ['an empty README', { 'README.md': '# @x/a\n' }, 'README.md must say what the package is'],
  [
    'a relative link',
    { 'README.md': `${GOOD['README.md']}[a](../docs/a.md)` },
    "README.md: link '../docs/a.md' must be absolute",
  ],
  [
    'an internal member',
    { 'dist/index.d.ts': 'export interface A {\n  /** @internal */\n  b: string\n}\n' },
    'dist/index.d.ts has an @internal member',
  ],
  ['a map without sources', { 'dist/index.js.map': '{"sources":["a.ts"]}' }, 'dist/index.js.map has no sources'],
  [
    'no description',
    { 'package.json': JSON.stringify({ ...MANIFEST, description: '' }) },
    'package.json: "description" is missing',
  ],
  [
    'another repository',
    { 'package.json': JSON.stringify({ ...MANIFEST, repository: 'x' }) },
    'package.json: "repository" must be {"type":"git"',
  ],
  [
    'no page for bugs',
    { 'package.json': JSON.stringify({ ...MANIFEST, bugs: undefined }) },
    'package.json: "bugs" must be',
  ],
])('%s is one, by its name', (_what, changed, problem) => {
  expect(problems(changed)).toEqual([expect.stringContaining(problem)])
})
