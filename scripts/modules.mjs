import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'

/**
 * @typedef {object} ModuleFacts What the checks want to know of a source file.
 * @property {string} text
 * @property {{ specifier: string, line: number }[]} imports Static, dynamic and type imports, re-exports and require
 *   calls whose specifier is written out.
 * @property {boolean} exportsDefault
 * @property {number[]} topLevelAwaits Lines.
 */

/**
 * Parses a TypeScript or JavaScript file. Throws when it has a syntax error.
 *
 * @param {string} root
 * @param {string} path Relative to `root`.
 * @returns {ModuleFacts}
 */
export function readModule(root, path) {
  const text = readFileSync(join(root, path), 'utf8')
  const { program, module, errors } = parseSync(path, text, { sourceType: 'module' })
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`)
  /** @param {number} offset */
  const lineOf = (offset) => text.slice(0, offset).split('\n').length
  /** @type {ModuleFacts['imports']} */
  const imports = []
  /** @param {{ type: string, value?: unknown, start: number } | null | undefined} node */
  const add = (node) => {
    if (typeof node?.value === 'string') imports.push({ specifier: node.value, line: lineOf(node.start) })
  }
  /** @type {number[]} */
  const topLevelAwaits = []
  let functionDepth = 0
  const enter = () => {
    functionDepth += 1
  }
  const leave = () => {
    functionDepth -= 1
  }
  /** @param {{ start: number }} node */
  const awaits = (node) => {
    if (functionDepth === 0) topLevelAwaits.push(lineOf(node.start))
  }
  new Visitor({
    ImportDeclaration: (node) => add(node.source),
    ExportAllDeclaration: (node) => add(node.source),
    ExportNamedDeclaration: (node) => add(node.source),
    ImportExpression: (node) => add(node.source),
    TSImportType: (node) => add(node.source),
    CallExpression(node) {
      if (node.callee.type === 'Identifier' && node.callee.name === 'require') add(node.arguments[0])
    },
    AwaitExpression: awaits,
    ForOfStatement(node) {
      if (node.await) awaits(node)
    },
    VariableDeclaration(node) {
      if (node.kind === 'await using') awaits(node)
    },
    FunctionDeclaration: enter,
    'FunctionDeclaration:exit': leave,
    FunctionExpression: enter,
    'FunctionExpression:exit': leave,
    ArrowFunctionExpression: enter,
    'ArrowFunctionExpression:exit': leave,
  }).visit(program)
  const exportsDefault = module.staticExports.some(({ entries }) =>
    entries.some(({ exportName }) => exportName.kind === 'Default' || exportName.name === 'default'),
  )
  return { text, imports, exportsDefault, topLevelAwaits }
}
