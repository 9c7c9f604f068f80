import { describe, expect, test } from 'vitest'
import { findRangeViolations } from '../check-dependency-ranges.mjs'
import { plantTree } from './planted-tree.mjs'

const PATCHED = { kafkajs: 'packages/kafka/src/patches.ts' }
const CATALOG = { kafkajs: '2.2.4', undici: '^7.30.2', "'@bokuweb/zstd-wasm'": '^0.0.27', vitest: '4.1.12' }

/**
 * @param {object} changes
 * @param {Record<string, string>} [changes.catalog]
 * @param {Record<string, string>} [changes.dependencies]
 * @param {Record<string, string>} [changes.files]
 */
function violationsWith({ catalog = {}, dependencies = {}, files = {} }) {
  const versions = Object.entries({ ...CATALOG, ...catalog }).map(([name, version]) => `  ${name}: ${version}\n`)
  const manifest = {
    name: '@streamswitch/kafka',
    dependencies: { kafkajs: 'catalog:', undici: 'catalog:', ...dependencies },
    optionalDependencies: { '@bokuweb/zstd-wasm': 'catalog:' },
    devDependencies: { vitest: 'catalog:' },
  }
  const root = plantTree({
    'packages/kafka/src/patches.ts': "import 'kafkajs/src/network/connection.js'\n",
    'packages/kafka/package.json': JSON.stringify(manifest),
    'pnpm-workspace.yaml': `packages:\n  - packages/*\n\ncatalog:\n${versions.join('')}\nsaveExact: true\n`,
    ...files,
  })
  return findRangeViolations(root, PATCHED)
}

describe('dependency ranges', () => {
  test('this repository keeps them', () => {
    expect(findRangeViolations()).toEqual([])
  })

  test('ranges for what users install, exact versions for what is patched and for tools', () => {
    expect(violationsWith({})).toEqual([])
  })

  test.each([
    ['an exact version of what is not patched', { undici: '7.30.2' }, 'undici: 7.30.2 must be a range'],
    ['the same with quotes', { "'@bokuweb/zstd-wasm'": '0.0.27' }, '@bokuweb/zstd-wasm: 0.0.27 must be a range'],
    ['a range without a limit', { undici: '>=7' }, 'undici: >=7 must be a range'],
    ['a range for what is patched', { kafkajs: '^2.2.4' }, 'kafkajs: ^2.2.4 must be exact'],
    ['a range for a tool', { vitest: '^4.1.12' }, 'vitest: ^4.1.12 must be exact'],
  ])('%s', (_, catalog, says) => {
    expect(violationsWith({ catalog })).toEqual([expect.stringContaining(says)])
  })

  test('a version that stands in a manifest', () => {
    expect(violationsWith({ dependencies: { undici: '^7.0.0' } })).toEqual([
      expect.stringContaining("undici must be 'catalog:'"),
    ])
  })

  test('internals of what has a range', () => {
    const files = { 'packages/kafka/src/a.ts': "import 'undici/lib/core/connect.js'\n" }
    expect(violationsWith({ files })).toEqual([expect.stringContaining('imports internals of undici')])
  })

  test('a list that names what is patched no more', () => {
    const manifest = JSON.stringify({ name: '@streamswitch/kafka', dependencies: {} })
    expect(violationsWith({ files: { 'packages/kafka/package.json': manifest } })).toEqual(
      expect.arrayContaining([expect.stringContaining('kafkajs: packages/kafka/src/patches.ts patches it no more')]),
    )
  })
})
