// The runbook and the page on the wire format are written by hand: these tests hold them to what core says and does.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Visitor } from 'oxc-parser'
import { describe, expect, test } from 'vitest'
import { interfaceDocs } from '../docs/capability-matrix.mjs'
import { Sources } from '../docs/sources.mjs'
import { filesBelow, ROOT } from '../workspace.mjs'

const CORE = 'packages/core/src'
const sources = new Sources(ROOT)
const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8')

/** The texts in a constant's literal, in their order: a list's members or an object's values. */
function textsOf(/** @type {string} */ path, /** @type {string} */ name) {
  const found = sources.find(path, name)
  if (found === undefined) throw new Error(`${path} has no ${name}`)
  const { source, init } = found
  /** @type {string[]} */
  const texts = []
  new Visitor({
    Literal({ value, start, end }) {
      if (typeof value === 'string' && start >= init.start && end <= init.end) texts.push(value)
    },
  }).visit(source.program)
  return texts
}

/** The first cells of the rows of a table that begins with these columns. */
function firstCells(/** @type {string} */ page, /** @type {string} */ head) {
  const lines = page.split('\n')
  const start = lines.findIndex((line) => line.startsWith(head))
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'))
  return lines.slice(start + 2, end).map((line) => line.split('|')[1]?.trim().replaceAll('`', ''))
}

/**
 * What core may say, as patterns: its template literals with anything in their gaps, and the level at which they are logged.
 *
 * @returns {{ pattern: RegExp, level: string | undefined }[]}
 */
function messagesOfCore() {
  return filesBelow(ROOT, CORE, /\.ts$/).flatMap((path) => {
    /** @type {Map<unknown, string>} */
    const levels = new Map()
    /** @type {{ pattern: RegExp, level: string | undefined }[]} */
    const messages = []
    new Visitor({
      CallExpression({ callee, arguments: [first] }) {
        if (callee.type !== 'MemberExpression' || callee.property.type !== 'Identifier') return
        const { name } = callee.property
        if (!['debug', 'info', 'warn', 'error'].includes(name)) return
        const said = first?.type === 'ConditionalExpression' ? [first.consequent, first.alternate] : [first]
        for (const text of said) levels.set(text, name)
      },
      TemplateLiteral(node) {
        const parts = node.quasis.map(({ value }) => value.cooked ?? value.raw)
        // A template that is all gaps would match anything.
        if (parts.join('').length < 7) return
        const pattern = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*')
        messages.push({ pattern: new RegExp(pattern), level: levels.get(node) })
      },
    }).visit(sources.read(path).program)
    return messages
  })
}

const logLines = [...runbook.matchAll(/```log\n([\s\S]*?)```/g)].flatMap(([, block = '']) =>
  block.trimEnd().split('\n'),
)

describe('runbook', () => {
  test('has a row for every error code, in their order, and for no other', () => {
    expect(firstCells(runbook, '| code | what it means | who retries |')).toEqual(
      textsOf(`${CORE}/errors.ts`, 'ERROR_CODES'),
    )
  })

  test('has no empty cell among the error codes', () => {
    const rows = runbook.split('\n').filter((line) => /^\| `[A-Z_]+` \|/.test(line))
    for (const row of rows)
      expect(
        row
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim()),
      ).toEqual(Array(5).fill(expect.stringMatching(/./)))
  })

  test('names every event of producers and loops, and no other', () => {
    const events = new Set([
      ...interfaceDocs(sources, `${CORE}/producer/producer-events.ts`, 'ProducerEvents').keys(),
      ...interfaceDocs(sources, `${CORE}/consumer/consumer-events.ts`, 'ConsumerEvents').keys(),
    ])
    expect(firstCells(runbook, '| event | of | when |').toSorted()).toEqual([...events].toSorted())
  })

  test('quotes log lines', () => expect(logLines.length).toBeGreaterThan(15))

  const messages = messagesOfCore()
  test.each(logLines)('core says: %s', (line) => {
    const [, level, text = ''] = /^(?:(debug|info|warn|error) +)?(.*)$/.exec(line) ?? []
    const matching = messages.filter(({ pattern }) => pattern.test(text))
    expect(matching, 'no template of core makes this line').not.toEqual([])
    // Templates that only put a subject in front of any text say nothing of this line.
    const [subject = ''] = /^.*? on \w+: /.exec(text) ?? []
    const levels = matching
      .filter(({ pattern }) => !pattern.test(`${subject}anything`))
      .map((message) => message.level)
      .filter((one) => one !== undefined)
    if (level !== undefined && levels.length > 0) expect(levels).toContain(level)
  })

  test('links to headings that exist', () => {
    const headings = new Set([...runbook.matchAll(/^#+ (.+)$/gm)].map(([, text = '']) => anchorOf(text)))
    const links = [...runbook.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor)
    expect(links.filter((anchor) => !headings.has(anchor ?? ''))).toEqual([])
  })
})

describe('wire format', () => {
  const page = readFileSync(join(ROOT, 'docs/wire-format.md'), 'utf8')

  test.each([
    ...textsOf(`${CORE}/wire/reserved-headers.ts`, 'WIRE_HEADERS'),
    ...textsOf(`${CORE}/wire/reserved-headers.ts`, 'DEAD_LETTER_HEADERS'),
  ])('tells of the header %s', (name) => expect(page).toContain(`\`${name}\``))

  test.each(
    textsOf(`${CORE}/registry/official-adapters.ts`, 'OFFICIAL_ADAPTERS').filter((text) => text.startsWith('@')),
  )('has a section for %s', (name) => {
    const heading = `\n## ${name.replace('@streamswitch/', '')}\n`
    expect(page).toContain(heading)
    const section = page.split(heading)[1]?.split('\n## ')[0] ?? ''
    expect(section.trim()).not.toBe('')
  })
})

/** As forges make anchors of headings. */
function anchorOf(/** @type {string} */ heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')
}
