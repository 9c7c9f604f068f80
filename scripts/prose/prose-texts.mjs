import { fromMarkdown } from 'mdast-util-from-markdown'
import { parseSync, Visitor } from 'oxc-parser'

/**
 * @typedef {object} ProseText
 * @property {string} text Prose without code, with line breaks where the file has them.
 * @property {number} line Of its first character, from 1.
 */

/** @typedef {ReturnType<typeof fromMarkdown>} Page */
/** @typedef {Page | Page['children'][number]} PageNode */

/** A string that isn't prose: fewer than three words in a row. */
const SENTENCE = /[a-z',]+ [a-z',]+ [a-z']+/i

/**
 * Finds what a person reads in a file: the paragraphs of a Markdown page; the comments, and the strings that hold
 * sentences, of a source. Code spans and blocks aren't prose. Throws when a source has a syntax error.
 *
 * @param {string} path Decides by its ending how the file is read.
 * @param {string} content
 * @returns {ProseText[]}
 */
export function proseTexts(path, content) {
  return path.endsWith('.md') ? markdownTexts(content, 1) : sourceTexts(path, content)
}

/**
 * @param {string} content
 * @param {number} firstLine
 * @returns {ProseText[]}
 */
function markdownTexts(content, firstLine) {
  /** @type {ProseText[]} */
  const texts = []
  /** @param {PageNode} node */
  const visit = (node) => {
    if (node.type === 'paragraph' || node.type === 'heading') {
      texts.push({ text: plainText(node), line: firstLine - 1 + (node.position?.start.line ?? 1) })
    } else if ('children' in node) {
      for (const child of node.children) visit(child)
    }
  }
  visit(fromMarkdown(content))
  return texts
}

/**
 * @param {PageNode} node
 * @returns {string}
 */
function plainText(node) {
  if (node.type === 'text') return node.value
  // Stands for a name, so that the words around it don't meet.
  if (node.type === 'inlineCode') return '`'
  if (node.type === 'break') return '\n'
  return 'children' in node ? node.children.map(plainText).join('') : ''
}

/**
 * @param {string} path
 * @param {string} content
 * @returns {ProseText[]}
 */
function sourceTexts(path, content) {
  const { program, comments, errors } = parseSync(path, content, { sourceType: 'module' })
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`)
  const starts = [0, ...[...content.matchAll(/\n/g)].map(({ index }) => index + 1)]
  /** @param {number} offset */
  const lineOf = (offset) => starts.findLastIndex((start) => start <= offset) + 1
  const texts = joinedComments(comments, content).flatMap(({ value, start }) =>
    markdownTexts(value, lineOf(start)).filter(({ text }) => !text.startsWith('biome-ignore')),
  )
  /**
   * @param {string} text
   * @param {number} offset
   */
  const add = (text, offset) => {
    if (SENTENCE.test(text)) texts.push({ text, line: lineOf(offset) })
  }
  new Visitor({
    Literal(node) {
      if (typeof node.value === 'string') add(node.value, node.start)
    },
    TemplateLiteral(node) {
      add(node.quasis.map(({ value }) => value.cooked ?? value.raw).join('`'), node.start)
    },
  }).visit(program)
  return texts.toSorted((left, right) => left.line - right.line)
}

/**
 * Comments without their marks; line comments that follow one another are one comment, as a sentence goes over several.
 *
 * @param {readonly { type: string, value: string, start: number, end: number }[]} comments
 * @param {string} content
 */
function joinedComments(comments, content) {
  /** @type {{ value: string, start: number, end: number, isLine: boolean }[]} */
  const joined = []
  for (const { type, value, start, end } of comments) {
    const last = joined.at(-1)
    const isLine = type === 'Line'
    if (isLine && last?.isLine && /^\n[ \t]*$/.test(content.slice(last.end, start))) {
      last.value += `\n${value.trim()}`
      last.end = end
    } else {
      joined.push({ value: isLine ? value.trim() : withoutStars(value), start, end, isLine })
    }
  }
  return joined
}

/** @param {string} value The inside of a block comment. */
function withoutStars(value) {
  return value
    .split('\n')
    .map((line) => line.replace(/^\s*\*? ?/, ''))
    .map((line) => line.replace(/^(@\w+) \{[^}]*\}/, '$1').replace(/^(@(?:param|property|typedef)) \S+/, '$1'))
    .map((line) => line.replaceAll(/\{@\w+ [^}]*\}/g, '_'))
    .join('\n')
}
