import { describe, expect, test } from 'vitest'
import { findBoundaryViolations } from '../check-boundaries.mjs'
import { plantTree } from './planted-tree.mjs'

const SOUND = {
  'packages/core/src/index.ts':
    "export { send } from './send.js'\nimport { randomUUID } from 'node:crypto'\nrandomUUID()\n",
  'packages/core/src/send.ts': 'export const send = 1\n',
  'packages/redis/src/index.ts':
    "import { StreamError } from '@streamswitch/core/driver'\nexport default StreamError\n",
  'packages/redis/test/conformance.test.ts':
    "import '@streamswitch/core'\nimport '@streamswitch/testkit'\nimport redis from '../src/index.js'\nredis\n",
  'packages/testkit/src/index.ts': "import type { Message } from '@streamswitch/core'\nexport type M = Message\n",
  'packages/memory/src/index.ts': 'export default 1\n',
  'examples/flights/src/tower-service.ts': "import { openTransport } from '@streamswitch/core'\nopenTransport()\n",
  'examples/flights/src/main.ts': "import memory from '@streamswitch/memory'\nmemory // over memory\n",
}

/**
 * @param {string} file
 * @param {string} content
 */
const violationsWith = (file, content) => findBoundaryViolations(plantTree({ ...SOUND, [file]: content }))

describe('import boundaries', () => {
  test('a tree that keeps them has no violation', () => {
    expect(findBoundaryViolations(plantTree(SOUND))).toEqual([])
  })

  test.each([
    ['core imports an adapter', 'packages/core/src/bad.ts', "import '@streamswitch/redis'"],
    ['core imports the testkit in a test', 'packages/core/test/bad.test.ts', "import '@streamswitch/testkit'"],
    ['core imports itself by name', 'packages/core/src/bad.ts', "import '@streamswitch/core/driver'"],
    ['an adapter imports the root of core', 'packages/redis/src/bad.ts', "import { x } from '@streamswitch/core'"],
    ['an adapter imports a type from it', 'packages/redis/src/bad.ts', "import type { x } from '@streamswitch/core'"],
    [
      'an adapter names a type by import()',
      'packages/redis/src/bad.ts',
      "export type X = import('@streamswitch/core').X",
    ],
    ['an adapter re-exports from it', 'packages/redis/src/bad.ts', "export * from '@streamswitch/core'"],
    [
      'an adapter imports it dynamically',
      'packages/redis/src/bad.ts',
      "export const x = () => import('@streamswitch/core')",
    ],
    ['an adapter requires it', 'packages/redis/src/bad.ts', "export const x = require('@streamswitch/core')"],
    [
      'an adapter imports an inner path of core',
      'packages/redis/src/bad.ts',
      "import '@streamswitch/core/dist/errors.js'",
    ],
    ['an adapter reaches into core by path', 'packages/redis/src/bad.ts', "import '../../core/src/send.js'"],
    ['an adapter imports another adapter', 'packages/redis/src/bad.ts', "import '@streamswitch/memory'"],
    ["an adapter's test imports another adapter", 'packages/redis/test/bad.test.ts', "import '@streamswitch/memory'"],
    ['an adapter imports the testkit', 'packages/redis/src/bad.ts', "import '@streamswitch/testkit'"],
    ['the testkit imports an adapter', 'packages/testkit/src/bad.ts', "import '@streamswitch/memory'"],
    ['an example imports an inner path', 'examples/flights/src/bad.ts', "import '@streamswitch/core/dist/index.js'"],
    ['a service imports an adapter', 'examples/flights/src/bad-service.ts', "import '@streamswitch/memory'"],
    [
      'a service names a transport',
      'examples/flights/src/bad-service.ts',
      "export const url = 'Kafka' + '://localhost'",
    ],
  ])('%s', (_, file, content) => {
    const violations = violationsWith(file, `// first line\n${content}\n`)
    expect(violations.length).toBeGreaterThan(0)
    for (const violation of violations) expect(violation).toMatch(new RegExp(`^${file.replaceAll('.', '\\.')}:2: `))
  })
})
