import { expect, test } from 'vitest'
import {
  codeLines,
  exportedNames,
  functionOnlyTypes,
  largestCircle,
  readSources,
  writersOf,
} from '../structure/source-graph.mjs'
import { plantTree } from './planted-tree.mjs'

/** @param {Record<string, string>} files */
function sources(files) {
  const planted = Object.fromEntries(
    Object.entries(files).map(([name, content]) => [`packages/core/src/${name}`, content]),
  )
  return readSources('packages/core/src', plantTree(planted))
}

test('files that reach each other by imports of any kind are a circle', () => {
  const circle = largestCircle(
    sources({
      'a.ts': "import type { B } from './sub/b.js'",
      'sub/b.ts': "export { c } from '../c.js'\nimport { d } from './d.js'",
      'c.ts': "type A = import('./a.js').A",
      'sub/d.ts': '',
    }),
  )
  expect(circle.sort()).toEqual(['a.ts', 'c.ts', 'sub/b.ts'])
  expect(largestCircle(sources({ 'a.ts': "import './b.js'", 'b.ts': '' }))).toHaveLength(1)
})

test('a file writes a class by assigning to its fields, not to those of its own this', () => {
  const files = writersOf(
    sources({
      'delivery.ts': 'export class Delivery { state = 0\n readonly id = 1\n }',
      'writer.ts': 'import type { Delivery } from "./delivery.js"\nexport const f = (d: Delivery) => { d.state = 1 }',
      'counter.ts': 'import type { Delivery } from "./delivery.js"\nexport const f = (d: Delivery) => d.state++',
      'reader.ts': 'import type { Delivery } from "./delivery.js"\nexport const f = (d: Delivery) => d.state',
      'other.ts': '// Delivery\nexport class Other { state = 0\n set() { this.state = 1 } }',
      'stranger.ts': 'export const f = (d: { state: number }) => { d.state = 1 }',
    }),
    'Delivery',
  )
  expect(files.sort()).toEqual(['counter.ts', 'delivery.ts', 'writer.ts'])
})

test('types of functions alone are found, as interfaces and as object types', () => {
  const types = functionOnlyTypes(
    sources({
      'a.ts': `
        export interface Host { settle(): void; readonly failed: (reason: unknown) => void }
        type Owner = { close(): void }
        interface Mixed { close(): void; name: string }
        interface Fields { get name(): string }
        interface Empty {}
        interface More extends Host { open(): void }`,
    }),
  )
  expect(types).toEqual(['a.ts: Host', 'a.ts: Owner'])
})

test('lines of code are neither empty nor comments', () => {
  expect(codeLines('/**\n * About.\n */\nconst a = 1\n\n// Why.\nconst b = 2 // so\n')).toBe(2)
})

test('names of a door are counted, a star as one', () => {
  const [door] = sources({ 'driver.ts': "export { a, type B } from './a.js'\nexport * from './c.js'" })
  expect(door === undefined ? 0 : exportedNames(door)).toBe(3)
})
