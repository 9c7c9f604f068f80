import { describe, expect, test } from 'vitest'
import { findDeadLinks } from '../check-links.mjs'
import { plantTree } from './planted-tree.mjs'

const SOUND = {
  'README.md': [
    '# Front',
    '',
    '[a](docs/a.md) [b](docs/a.md#two-words-and-code) [again](docs/a.md#again-1) [folder](docs) [its page](docs#index)',
    '[here](#front) [other site](https://example.org/nothing#here) [mail](mailto:a@example.org) ![image](docs/a.svg)',
    '[source](scripts/run.mjs#L3) [by name]',
    '',
    '`[no link](docs/none.md)`',
    '',
    '```md',
    '[no link](docs/none.md)',
    '```',
    '',
    '[by name]: docs/a.md#old-anchor',
    '',
  ].join('\n'),
  'docs/README.md': '# Index\n\n| [in a table](a.md) | [up](../README.md#front) |\n|---|---|\n',
  'docs/a.md': '# A\n\n## Two words, and `code`\n\n## Again\n\n## Again\n\n<a id="old-anchor"></a>\n',
  'docs/a.svg': '<svg/>',
  'packages/core/README.md':
    '# Core\n\n[docs](https://github.com/streamswitch/streamswitch/blob/main/docs/a.md#again) [all](https://github.com/streamswitch/streamswitch/tree/main)\n',
  'packages/core/src/errors.ts': "/** See `docs/a.md#again`. */\nexport const advice = 'grant it, see docs/a.md'\n",
  'scripts/run.mjs': '// docs/a.md\n',
  'scripts/prose/budget.json': '{ "docs/deleted.md": 1 }\n',
  'node_modules/x/README.md': '[dead](none.md)\n',
  'packages/core/dist/README.md': '[dead](none.md)\n',
}

describe('links', () => {
  test('that lead somewhere are fine', () => {
    expect(findDeadLinks(plantTree(SOUND))).toEqual([])
  })

  test.each([
    ['a file that is missing', 'docs/b.md', '[x](c.md)', 'c.md: there is no docs/c.md'],
    ['a heading that is missing', 'docs/b.md', '[x](a.md#three)', 'a.md#three: docs/a.md has no heading #three'],
    ['a heading of the page itself', 'docs/b.md', '[x](#b)', '#b: docs/b.md has no heading #b'],
    [
      'a heading of a folder',
      'docs/b.md',
      '[x](../docs#nothing)',
      '../docs#nothing: docs/README.md has no heading #nothing',
    ],
    ['a link by name', 'docs/b.md', '[x]: c.md', 'c.md: there is no docs/c.md'],
    ['an image', 'docs/b.md', '![x](c.png)', 'c.png: there is no docs/c.png'],
    ['a page outside', 'docs/b.md', '[x](../../c.md)', '../../c.md: is outside of the repository'],
    ['a link from the root', 'docs/b.md', '[x](/c.md)', '/c.md: there is no c.md'],
    [
      'an absolute link into the repository',
      'packages/core/NOTES.md',
      '[x](https://github.com/streamswitch/streamswitch/blob/main/docs/c.md)',
      'https://github.com/streamswitch/streamswitch/blob/main/docs/c.md: there is no docs/c.md',
    ],
    ['a page that a comment names', 'packages/core/src/b.ts', '// see docs/c.md', 'docs/c.md: there is no docs/c.md'],
    [
      'a heading that a message names',
      'packages/core/src/b.ts',
      "throw new Error('see docs/a.md#three')",
      'docs/a.md#three: docs/a.md has no heading #three',
    ],
    ['a page that a setting names', 'turbo.json', '"docs/c.md"', 'docs/c.md: there is no docs/c.md'],
  ])('are dead: %s', (_, file, text, problem) => {
    expect(findDeadLinks(plantTree({ ...SOUND, [file]: `first line\n\n${text}\n` }))).toEqual([`${file}:3: ${problem}`])
  })
})
