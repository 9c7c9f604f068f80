import { describe, expect, test } from 'vitest'
import { findShapeViolations } from '../check-adapter-shape.mjs'
import { plantTree } from './planted-tree.mjs'

const ROLES = ['adapter', 'options', 'connection', 'producer', 'consumer', 'message', 'errors', 'admin']

/** @type {Record<string, string>} */
const SOUND = {
  'packages/core/src/index.ts': 'export {}\n',
  'packages/redis/src/index.ts': "export { redis as default } from './adapter.js'\n",
  ...Object.fromEntries(
    ROLES.map((role) => [`packages/redis/src/${role}.ts`, 'export async function run() { await 1 }\n']),
  ),
  'packages/redis/test/conformance.test.ts': '',
  'packages/redis/test/errors.test.ts': '',
}

/** @param {Record<string, string>} changes */
const violationsWith = (changes) => findShapeViolations(plantTree({ ...SOUND, ...changes }))

describe('adapter shape', () => {
  test('an adapter with all files has no violation', () => {
    expect(violationsWith({})).toEqual([])
  })

  test.each(Object.keys(SOUND).filter((file) => file.startsWith('packages/redis/')))('%s is missing', (file) => {
    const { [file]: _, ...rest } = SOUND
    expect(findShapeViolations(plantTree(rest))).toEqual([expect.stringContaining(`${file} is missing`)])
  })

  test.each([
    ['await', 'await Promise.resolve()\n'],
    ['for await', 'for await (const x of []) x\n'],
    ['await using', 'await using x = undefined\n'],
    ['await in a block', '{\n  await Promise.resolve()\n}\n'],
  ])('top-level %s', (_, content) => {
    expect(violationsWith({ 'packages/redis/src/connection.ts': content })).toEqual([
      expect.stringContaining('top-level await'),
    ])
  })

  test('no default export', () => {
    expect(violationsWith({ 'packages/redis/src/index.ts': "export * from './adapter.js'\n" })).toEqual([
      expect.stringContaining('no default export'),
    ])
  })

  test('no default condition and no test script', () => {
    const manifest = JSON.stringify({ name: '@streamswitch/redis', exports: { '.': { import: './dist/index.js' } } })
    expect(violationsWith({ 'packages/redis/package.json': manifest })).toEqual([
      expect.stringContaining('no "default" condition'),
      expect.stringContaining('no "test" script'),
    ])
  })
})
