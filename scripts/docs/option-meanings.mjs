import { docBefore, lineOf, propertyName, unwrap } from './sources.mjs'

/** @import { Expression } from 'oxc-parser' */
/** @import { Declared, Source, Sources } from './sources.mjs' */

/**
 * @typedef {object} Meaning What the source says of an option.
 * @property {string | undefined} text Its JSDoc comment.
 * @property {string} place `packages/core/src/tls.ts:9`
 * @property {Map<string, Meaning>} fields Those of a group; empty for other options.
 */

/**
 * Finds where a set of options is declared in a file, and what stands there about each. It is the literal that has the
 * same options; where none has (a set that is put together at run time), options are looked up one by one.
 *
 * @param {Sources} sources
 * @param {string} path The file that declares the set.
 * @param {readonly string[]} names The options of the set.
 * @returns {Map<string, Meaning>}
 */
export function findMeanings(sources, path, names) {
  const literals = sources
    .constants(path)
    .filter(({ init }) => init.type === 'ObjectExpression')
    .map((constant) => meaningsOf(sources, constant))
  const same = literals.find((meanings) => meanings.size === names.length && names.every((name) => meanings.has(name)))
  if (same !== undefined) return same
  return new Map(
    names.flatMap((name) => {
      const meaning = literals.find((meanings) => meanings.has(name))?.get(name)
      return meaning === undefined ? [] : [[name, meaning]]
    }),
  )
}

/**
 * @param {Sources} sources
 * @param {Declared} declared
 * @returns {Map<string, Meaning>}
 */
function meaningsOf(sources, { source, init }) {
  /** @type {Map<string, Meaning>} */
  const meanings = new Map()
  if (init.type !== 'ObjectExpression') return meanings
  for (const property of init.properties) {
    if (property.type === 'SpreadElement') {
      const spread = follow(sources, source, property.argument)
      for (const [name, meaning] of spread === undefined ? [] : meaningsOf(sources, spread)) meanings.set(name, meaning)
      continue
    }
    const name = propertyName(property)
    if (name === undefined) continue
    meanings.set(name, {
      text: docBefore(source, property),
      place: `${source.path}:${lineOf(source, property.start)}`,
      fields: groupMeanings(sources, source, property.value),
    })
  }
  return meanings
}

/**
 * The options within `option.group({ … })`.
 *
 * @param {Sources} sources
 * @param {Source} source
 * @param {Expression} value
 * @returns {Map<string, Meaning>}
 */
function groupMeanings(sources, source, value) {
  const found = follow(sources, source, value)
  if (found?.init.type !== 'CallExpression') return new Map()
  const { callee, arguments: given } = found.init
  const isGroup =
    callee.type === 'MemberExpression' && callee.property.type === 'Identifier' && callee.property.name === 'group'
  const fields = given[0]
  if (!isGroup || fields === undefined || fields.type === 'SpreadElement') return new Map()
  const literal = follow(sources, found.source, fields)
  return literal === undefined ? new Map() : meaningsOf(sources, literal)
}

/**
 * The expression that a name stands for; any other expression is itself.
 *
 * @param {Sources} sources
 * @param {Source} source
 * @param {Expression} node
 * @returns {Declared | undefined}
 */
function follow(sources, source, node) {
  const expression = unwrap(node)
  return expression.type === 'Identifier' ? sources.find(source.path, expression.name) : { source, init: expression }
}
