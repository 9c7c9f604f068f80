import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { optionsWithoutText } from '../api-reference/option-docs.mjs'
import { statedDefaults } from '../docs/option-defaults.mjs'
import { Sources } from '../docs/sources.mjs'
import { plantTree } from './planted-tree.mjs'

const PATH = 'packages/redis/src/options.ts'

/**
 * @param {string} text
 * @param {Record<string, string>} [more]
 */
function stated(text, more = {}) {
  const { files, problems } = statedDefaults(new Sources(plantTree({ [PATH]: text, ...more })), [PATH])
  return { text: files.get(PATH), problems }
}

describe('@default', () => {
  test.each([
    ['a number with its unit', 'waitMs: option.integer({ default: 60 * 1_000, min: 1 })', '60000 (1 min)'],
    ['a text', "mode: option.choice(['a', 'b'], { default: 'a' })", "'a'"],
    ['a list', "hosts: hostsOption({ default: ['h', 'i'] })", "['h', 'i']"],
    ['a negative number', 'copies: option.integer({ default: -1, min: -1 })', '-1'],
    ['an object', 'routes: option.custom("x", check, { default: {} })', '{}'],
    ['a constant of another file', 'size: option.integer({ default: SIZE, min: 1 })', '7'],
  ])('is written for %s, below the text of the docstring', (_what, field, value) => {
    const name = field.split(':')[0]
    const before = `import { SIZE } from './size.js'\nexport const fields = {\n  /** What it is. */\n  ${field},\n}\n`
    const after = before.replace('/** What it is. */', `/**\n   * What it is.\n   * @default ${value}\n   */`)
    const size = { 'packages/redis/src/size.ts': 'export const SIZE = 7\n' }
    expect(stated(before, size), name).toEqual({ text: after, problems: [] })
    expect(stated(after, size), name).toEqual({ text: undefined, problems: [] })
  })

  test('is corrected where it states another default, also within a group', () => {
    const text =
      'export const fields = {\n  /** Tries. */\n  retry: option.group({\n    /**\n     * Starts.\n     *\n     * More.\n     * @default 4\n     */\n    attempts: option.integer({ default: 5, min: 1 }),\n  }),\n}\n'
    expect(stated(text)).toEqual({ text: text.replace('@default 4', '@default 5'), problems: [] })
  })

  test('goes where there is no default, or one that only running shows', () => {
    const doc = '  /**\n   * What.\n   * @default 4\n   */\n'
    const text = `export const fields = {\n${doc}  a: option.integer({ min: 1 }),\n${doc}  b: option.custom('x', y, { default: y }),\n}\nfunction y() {}\n`
    expect(stated(text)).toEqual({ text: text.replaceAll(doc, '  /** What. */\n'), problems: [] })
  })

  test('stands at the member of an interface that has the docstring in place of the field', () => {
    const text = (/** @type {string} */ doc) =>
      `export interface Options {\n${doc}  readonly limit?: number\n}\nconst fields = {\n  limit: option.integer({ default: 5, min: 1 }),\n}\n`
    expect(stated(text('  /** Limit. */\n'))).toEqual({
      text: text('  /**\n   * Limit.\n   * @default 5\n   */\n'),
      problems: [],
    })
    expect(stated(text('')).problems).toEqual([`${PATH}:2: 'limit' has no docstring that states its default 5`])
  })

  test('needs a docstring', () => {
    expect(stated('export const fields = {\n  limit: option.integer({ default: 5, min: 1 }),\n}\n').problems).toEqual([
      `${PATH}:2: 'limit' has no docstring that states its default 5`,
    ])
  })
})

describe('texts of options in published types', () => {
  test('are missed where an option, one of a group or one that was spread has none', () => {
    const types = `type OptionInput<Fields> = { readonly [Name in keyof Fields]?: Fields[Name] }
declare const shared: {
  /** Told. */
  told: string
}
declare const spread: {
  told: string
}
declare const inner: {
  /** Told. */
  told: string
  untold: string
}
interface Base {
  /** Told. */
  readonly inherited: string
}
export interface OneOptions extends Base, OptionInput<Omit<typeof shared, 'x'>> {
  readonly inherited: 'x'
  /** A group. */
  readonly group?: OptionInput<typeof inner>
}
export type TwoOptions = OptionInput<typeof spread>
export interface NoSet {
  readonly untold: string
}
`
    const root = plantTree({ 'packages/redis/dist/index.d.ts': types })
    expect(optionsWithoutText([join(root, 'packages/redis/dist/index.d.ts')])).toEqual([
      'OneOptions.group.untold',
      'TwoOptions.told',
    ])
  })
})
