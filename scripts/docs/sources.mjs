import { existsSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync } from 'oxc-parser'

/** @import { Expression, ObjectExpression, Program } from 'oxc-parser' */

/**
 * @typedef {object} Source A parsed TypeScript file.
 * @property {string} path Relative to the root.
 * @property {string} text
 * @property {Program} program
 * @property {{ type: string, value: string, end: number }[]} comments
 */

/**
 * @typedef {object} Declared Where a constant is declared, and with what.
 * @property {Source} source
 * @property {Expression} init
 */

/** What core's entry points are made from: adapters spread field sets that they import from there. */
const ENTRIES = new Map([
  ['@streamswitch/core', 'packages/core/src/index.ts'],
  ['@streamswitch/core/driver', 'packages/core/src/driver.ts'],
])

/** Parsed sources of one tree. Finds constants through imports and re-exports. */
export class Sources {
  #root
  /** @type {Map<string, Source>} */
  #parsed = new Map()

  /** @param {string} root */
  constructor(root) {
    this.#root = root
  }

  /** @param {string} path Relative to the root. */
  has(path) {
    return existsSync(join(this.#root, path))
  }

  /** @param {string} path Relative to the root. */
  text(path) {
    return this.#parsed.get(path)?.text ?? readFileSync(join(this.#root, path), 'utf8')
  }

  /**
   * Parses a file, once. Throws when it has a syntax error.
   *
   * @param {string} path Relative to the root.
   * @returns {Source}
   */
  read(path) {
    const known = this.#parsed.get(path)
    if (known !== undefined) return known
    const text = this.text(path)
    const { program, comments, errors } = parseSync(path, text, { sourceType: 'module' })
    if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`)
    const source = { path, text, program, comments }
    this.#parsed.set(path, source)
    return source
  }

  /**
   * The constants that a file declares at its top level, in its order.
   *
   * @param {string} path
   * @returns {(Declared & { name: string })[]}
   */
  constants(path) {
    const source = this.read(path)
    return source.program.body.flatMap((statement) => {
      const declaration = declarationOf(statement)
      if (declaration?.type !== 'VariableDeclaration') return []
      return declaration.declarations.flatMap(({ id, init }) =>
        id.type === 'Identifier' && init !== null ? [{ name: id.name, source, init: unwrap(init) }] : [],
      )
    })
  }

  /**
   * What a name stands for within a file.
   *
   * @param {string} path
   * @param {string} name
   * @returns {Declared | undefined}
   */
  find(path, name) {
    const own = this.constants(path).find((constant) => constant.name === name)
    if (own !== undefined) return own
    for (const statement of this.read(path).program.body) {
      if (statement.type !== 'ImportDeclaration') continue
      for (const specifier of statement.specifiers) {
        if (specifier.type !== 'ImportSpecifier' || specifier.local.name !== name) continue
        return this.#findExport(resolve(path, statement.source.value), nameOf(specifier.imported))
      }
    }
    return undefined
  }

  /**
   * @param {string | undefined} path
   * @param {string} name
   * @returns {Declared | undefined}
   */
  #findExport(path, name) {
    if (path === undefined || !this.has(path)) return undefined
    for (const statement of this.read(path).program.body) {
      if (statement.type !== 'ExportNamedDeclaration') continue
      const specifier = statement.specifiers.find(({ exported }) => nameOf(exported) === name)
      if (specifier === undefined) continue
      const local = nameOf(specifier.local)
      return statement.source === null
        ? this.find(path, local)
        : this.#findExport(resolve(path, statement.source.value), local)
    }
    return this.find(path, name)
  }
}

/**
 * The line, counted from 1, on which a position stands.
 *
 * @param {Source} source
 * @param {number} offset
 */
export function lineOf(source, offset) {
  return source.text.slice(0, offset).split('\n').length
}

/**
 * The text of the JSDoc comment that stands directly before a node, as one line and without its tags; `undefined` where
 * there is none.
 *
 * @param {Source} source
 * @param {{ start: number }} node
 */
export function docBefore(source, node) {
  const comment = source.comments.findLast(({ end }) => end <= node.start)
  if (comment === undefined || comment.type !== 'Block' || !comment.value.startsWith('*')) return undefined
  if (source.text.slice(comment.end, node.start).trim() !== '') return undefined
  const lines = comment.value
    .slice(1)
    .split('\n')
    .map((line) => line.trim().replace(/^\*\s?/, ''))
  const firstTag = lines.findIndex((line) => line.startsWith('@'))
  const text = (firstTag === -1 ? lines : lines.slice(0, firstTag)).join(' ').replace(/\s+/g, ' ').trim()
  return text === ''
    ? undefined
    : text.replace(/\{@link ([^}|]+)[^}]*\}/g, (_, target) => `\`${String(target).trim()}\``)
}

/**
 * The literal in `{ … } as const` and `({ … }) satisfies Fields`.
 *
 * @param {Expression} node
 * @returns {Expression}
 */
export function unwrap(node) {
  if (
    node.type === 'TSAsExpression' ||
    node.type === 'TSSatisfiesExpression' ||
    node.type === 'ParenthesizedExpression'
  ) {
    return unwrap(node.expression)
  }
  return node
}

/**
 * @param {ObjectExpression['properties'][number]} property
 * @returns {string | undefined}
 */
export function propertyName(property) {
  if (property.type !== 'Property' || property.computed) return undefined
  if (property.key.type === 'Identifier') return property.key.name
  return property.key.type === 'Literal' ? String(property.key.value) : undefined
}

/** @param {Program['body'][number]} statement */
function declarationOf(statement) {
  if (statement.type === 'ExportNamedDeclaration') return statement.declaration
  return statement.type === 'VariableDeclaration' ? statement : undefined
}

/** @param {{ type: string, name?: string, value?: unknown }} name */
function nameOf(name) {
  return name.name ?? String(name.value)
}

/**
 * @param {string} from
 * @param {string} specifier
 */
function resolve(from, specifier) {
  if (!specifier.startsWith('.')) return ENTRIES.get(specifier)
  return posix.join(posix.dirname(from), specifier).replace(/\.js$/, '.ts')
}
