import { Visitor } from 'oxc-parser'
import { inLargerUnit } from './option-table.mjs'
import { lineOf, propertyName, unwrap } from './sources.mjs'

/** @import { CallExpression, Expression, ObjectExpression } from 'oxc-parser' */
/** @import { Source, Sources } from './sources.mjs' */

/**
 * @typedef {object} Stated A docstring that must state a default, or must not.
 * @property {string} name
 * @property {number} start Of what it belongs to.
 * @property {string | undefined} value As `@default` has it; `undefined`: there is none.
 */

/** A file that may declare options. */
const DECLARES = /\boption\.|Option\(/

/** Makes option fields, beside `option.integer` and its like: `hostsOption`. */
const FIELD_MAKER = /Option$/

/**
 * What docstrings say of the defaults of options, by `@default`, compared with the option fields that they stand at. A member of an interface counts for the
 * field of its file that has its name.
 *
 * @param {Sources} sources
 * @param {readonly string[]} paths
 * @returns {{ files: Map<string, string>, problems: string[] }} The files whose docstrings state another default or none, as they should be, and a
 *   line per default that no docstring can state.
 */
export function statedDefaults(sources, paths) {
  const all = paths
    .filter((path) => DECLARES.test(sources.text(path)))
    .map((path) => ({ path, ...corrected(sources, path) }))
  return {
    files: new Map(all.filter(({ path, text }) => text !== sources.text(path)).map(({ path, text }) => [path, text])),
    problems: all.flatMap(({ problems }) => problems),
  }
}

/**
 * @param {Sources} sources
 * @param {string} path
 */
function corrected(sources, path) {
  const source = sources.read(path)
  /** @type {string[]} */
  const problems = []
  let text = source.text
  // From the end, so that what was found before stays where it is.
  for (const stated of docstringsOf(sources, source).toSorted((left, right) => right.start - left.start)) {
    const comment = source.comments.findLast(({ end }) => end <= stated.start)
    const isDoc = comment?.type === 'Block' && comment.value.startsWith('*')
    if (comment === undefined || !isDoc || source.text.slice(comment.end, stated.start).trim() !== '') {
      const place = `${path}:${lineOf(source, stated.start)}`
      if (stated.value !== undefined)
        problems.push(`${place}: '${stated.name}' has no docstring that states its default ${stated.value}`)
      continue
    }
    if (statedIn(comment.value) === stated.value) continue
    const start = comment.end - comment.value.length - '/**/'.length
    const indent = /[^\n]*$/.exec(source.text.slice(0, start))?.[0] ?? ''
    text = `${text.slice(0, start)}${withDefault(comment.value, stated.value, indent)}${text.slice(comment.end)}`
  }
  return { text, problems: problems.toReversed() }
}

/**
 * @param {Sources} sources
 * @param {Source} source
 * @returns {Stated[]}
 */
function docstringsOf(sources, source) {
  /** @type {Stated[]} */
  const fields = []
  /** @type {Stated[]} */
  const members = []
  new Visitor({
    ObjectExpression({ properties }) {
      for (const property of properties) {
        const name = property.type === 'Property' ? propertyName(property) : undefined
        if (property.type !== 'Property' || name === undefined) continue
        const value = unwrap(property.value)
        if (value.type !== 'CallExpression' || !isField(value)) continue
        fields.push({ name, start: property.start, value: defaultOf(sources, source, { name, call: value }) })
      }
    },
    TSPropertySignature(node) {
      if (node.key.type === 'Identifier') members.push({ name: node.key.name, start: node.start, value: undefined })
    },
  }).visit(source.program)
  const documented = members.flatMap((member) => {
    const [field, another] = fields.filter(({ name }) => name === member.name)
    return field?.value === undefined || another !== undefined ? [] : [{ ...member, value: field.value }]
  })
  const names = new Set(documented.map(({ name }) => name))
  return [...fields.filter(({ name, start }) => !names.has(name) || hasDoc(source, start)), ...documented]
}

/**
 * @param {Source} source
 * @param {number} start
 */
function hasDoc(source, start) {
  const comment = source.comments.findLast(({ end }) => end <= start)
  return comment?.value.startsWith('*') === true && source.text.slice(comment.end, start).trim() === ''
}

/** @param {CallExpression} call */
function isField({ callee }) {
  if (callee.type === 'Identifier') return FIELD_MAKER.test(callee.name)
  return callee.type === 'MemberExpression' && callee.object.type === 'Identifier' && callee.object.name === 'option'
}

/**
 * @param {Sources} sources
 * @param {Source} source
 * @param {{ name: string, call: CallExpression }} field
 */
function defaultOf(sources, source, { name, call }) {
  const settings = call.arguments.at(-1)
  if (settings?.type !== 'ObjectExpression') return undefined
  const property = settings.properties.find((one) => one.type === 'Property' && propertyName(one) === 'default')
  if (property?.type !== 'Property') return undefined
  const value = evaluate(sources, source, property.value)
  return typeof value === 'number' ? `${value}${inLargerUnit(name, value)}` : show(value)
}

/**
 * @param {unknown} value
 * @returns {string | undefined}
 */
function show(value) {
  if (typeof value === 'string') return `'${value}'`
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value).map(([name, one]) => `${name}: ${show(one)}`)
    return entries.length === 0 ? '{}' : `{ ${entries.join(', ')} }`
  }
  return value === undefined ? undefined : String(value)
}

/**
 * The value of an expression of literals and constants; `undefined` for a function and whatever else only running it would show.
 *
 * @param {Sources} sources
 * @param {Source} source
 * @param {Expression} node
 * @returns {unknown}
 */
function evaluate(sources, source, node) {
  const expression = unwrap(node)
  if (expression.type === 'Literal') return expression.value
  if (expression.type === 'UnaryExpression' && expression.operator === '-')
    return -Number(evaluate(sources, source, expression.argument))
  if (expression.type === 'ArrayExpression')
    return expression.elements.map((one) =>
      one === null || one.type === 'SpreadElement' ? undefined : evaluate(sources, source, one),
    )
  if (expression.type === 'ObjectExpression') return objectOf(sources, source, expression)
  if (expression.type === 'Identifier') {
    const found = sources.find(source.path, expression.name)
    return found === undefined ? undefined : evaluate(sources, found.source, found.init)
  }
  if (expression.type !== 'BinaryExpression') return undefined
  const { left, operator, right } = expression
  if (left.type === 'PrivateIdentifier') return undefined
  return calculated(Number(evaluate(sources, source, left)), operator, Number(evaluate(sources, source, right)))
}

/**
 * @param {Sources} sources
 * @param {Source} source
 * @param {ObjectExpression} expression
 */
function objectOf(sources, source, { properties }) {
  return Object.fromEntries(
    properties.flatMap((one) =>
      one.type === 'Property' ? [[propertyName(one) ?? '', evaluate(sources, source, one.value)]] : [],
    ),
  )
}

/**
 * @param {number} left
 * @param {string} operator
 * @param {number} right
 */
function calculated(left, operator, right) {
  if (operator === '*') return left * right
  if (operator === '/') return left / right
  if (operator === '+') return left + right
  return operator === '-' ? left - right : undefined
}

/**
 * What a docstring states.
 *
 * @param {string} comment What stands between its first and last characters.
 */
function statedIn(comment) {
  return /^[ \t]*\*[ \t]*@default[ \t]+(.*?)[ \t]*$/m.exec(comment)?.[1]
}

/**
 * @param {string} comment
 * @param {string | undefined} value
 * @param {string} indent
 */
function withDefault(comment, value, indent) {
  const lines = comment
    .slice(1)
    .split('\n')
    .map((line) => line.trim().replace(/^\*\s?/, ''))
    .filter((line) => !line.startsWith('@default '))
  const text = lines.join('\n').trim()
  if (value === undefined && !text.includes('\n')) return `/** ${text} */`
  const all = [...text.split('\n'), ...(value === undefined ? [] : [`@default ${value}`])]
  return `/**\n${all.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */`
}
