import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkProse, writeBudget } from '../check-prose.mjs'
import { proseFindings } from '../prose/findings.mjs'
import { plantTree } from './planted-tree.mjs'

const BUDGET = 'scripts/prose/budget.json'
const PAGE = 'docs/page.md'

/**
 * @param {string} path
 * @param {string} content
 */
const foundIn = (path, content) => proseFindings(path, content).map(({ found, line }) => `${line} ${found}`)

describe('what is read', () => {
  test('Markdown, but no code', () => {
    const page =
      '# At work\n\nRuns `at work` and\nby itself.\n\n```ts\nconst told = 1 // at work\n```\n\n- left\n  out\n'
    expect(foundIn('docs/page.md', page)).toEqual(['1 At work', '4 by itself', '10 left out', '10 left'])
  })

  test('docstrings and comments, also over several lines', () => {
    const source = '/**\n * Is left\n * out.\n *\n * @param told {@link told} `told` is told.\n */\n// At\n// work.\n'
    expect(foundIn('a.ts', source)).toEqual(['2 left out', '2 left', '5 is told', '5 told', '7 At work'])
  })

  test('messages, but no other strings, and no names', () => {
    const source = "f('the loop is at work'); g('told'); h(`a member was ` + `told of it by a peer`); const told = 1\n"
    expect(foundIn('a.mjs', source)).toEqual(['1 at work', '1 told'])
  })

  test('a part of a word is not the word', () => {
    expect(foundIn('a.md', 'The placeholder in the context was untold, mis-told and told-off.\n')).toEqual([])
  })
})

describe('the budget', () => {
  /** @param {Record<string, string>} files */
  const check = (files) => checkProse(plantTree({ [BUDGET]: '{}', ...files }))

  test('a file without an entry has none: each phrase is named with its replacement', () => {
    expect(check({ [PAGE]: 'It is left out.\n' }).violations).toEqual([
      `${PAGE}:1: "left out": write "default", "omitted"`,
      expect.stringContaining(`${PAGE}:1: "left": one of 1 such words, the budget is 0`),
    ])
  })

  test('within its entry a file is right, and above it wrong', () => {
    const budget = JSON.stringify({ [PAGE]: { phrases: 1, words: 1 } })
    expect(check({ [BUDGET]: budget, [PAGE]: 'Left out.\n' }).violations).toEqual([])
    expect(check({ [BUDGET]: budget, [PAGE]: 'Left out. At work.\n' }).violations).toEqual([
      expect.stringContaining('"At work"'),
      expect.stringContaining('"Left out"'),
    ])
  })

  test('it is lowered, but never raised', () => {
    const root = plantTree({
      [BUDGET]: JSON.stringify({ [PAGE]: { phrases: 5, words: 0 }, 'docs/gone.md': { phrases: 1, words: 1 } }),
      [PAGE]: 'Left out. At work.\n',
    })
    const { improved, lowered } = checkProse(root)
    expect(improved).toEqual([PAGE, 'docs/gone.md'])
    expect(lowered).toEqual({ [PAGE]: { phrases: 2, words: 0 } })
    writeBudget(lowered, root)
    expect(JSON.parse(readFileSync(join(root, BUDGET), 'utf8'))).toEqual(lowered)
    expect(checkProse(root).improved).toEqual([])
  })

  test('where there is none yet, the first one is what the files have', () => {
    const { violations, lowered } = checkProse(plantTree({ [PAGE]: 'Left out.\n' }))
    expect(violations).toEqual([])
    expect(lowered).toEqual({ [PAGE]: { phrases: 1, words: 1 } })
  })
})
