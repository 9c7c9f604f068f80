import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'
import { readModule } from '../modules.mjs'
import { filesBelow, ROOT } from '../workspace.mjs'

/**
 * The sources of a folder, parsed.
 *
 * @typedef {object} Source
 * @property {string} path Relative to the folder.
 * @property {string} text
 * @property {import('oxc-parser').Program} program
 * @property {string[]} imports Paths in the same folder that it imports, types included.
 */

/**
 * @param {string} folder Relative to the root, for example `packages/core/src`.
 * @param {string} [root]
 * @returns {Source[]}
 */
export function readSources(folder, root = ROOT) {
  return filesBelow(root, folder, /\.ts$/).map((file) => {
    const path = posix.relative(folder, file)
    const text = readFileSync(join(root, file), 'utf8')
    const imports = readModule(root, file)
      .imports.map(({ specifier }) => specifier)
      .filter((specifier) => specifier.startsWith('.'))
      .map((specifier) => posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts'))
    return { path, text, program: parseSync(file, text, { sourceType: 'module' }).program, imports }
  })
}

/**
 * The largest set of files that all reach each other by imports, types included; of one file where there is no circle.
 *
 * @param {readonly Pick<Source, 'path' | 'imports'>[]} sources
 * @returns {string[]}
 */
export function largestCircle(sources) {
  const imports = new Map(sources.map((source) => [source.path, source.imports]))
  const reached = new Map(sources.map(({ path }) => [path, reachedFrom(path, imports)]))
  const circles = sources.map(({ path }) => [
    path,
    ...[...(reached.get(path) ?? [])].filter((other) => other !== path && reached.get(other)?.has(path)),
  ])
  return circles.reduce((largest, circle) => (circle.length > largest.length ? circle : largest), [])
}

/**
 * @param {string} path
 * @param {ReadonlyMap<string, readonly string[]>} imports
 */
function reachedFrom(path, imports) {
  /** @type {Set<string>} */
  const reached = new Set()
  const open = [...(imports.get(path) ?? [])]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (reached.has(next)) continue
    reached.add(next)
    open.push(...(imports.get(next) ?? []))
  }
  return reached
}

/**
 * Interfaces and object types all of whose members are functions: what a part hands to another to be called back, where it
 * is neither the contract's nor the public API's.
 *
 * @param {readonly Source[]} sources
 * @returns {string[]}
 */
export function functionOnlyTypes(sources) {
  return sources.flatMap(({ path, program }) => {
    /** @type {string[]} */
    const names = []
    new Visitor({
      TSInterfaceDeclaration(node) {
        if (node.extends.length === 0 && isFunctionsOnly(node.body.body)) names.push(`${path}: ${node.id.name}`)
      },
      TSTypeAliasDeclaration(node) {
        if (node.typeAnnotation.type === 'TSTypeLiteral' && isFunctionsOnly(node.typeAnnotation.members))
          names.push(`${path}: ${node.id.name}`)
      },
    }).visit(program)
    return names
  })
}

/** @param {readonly import('oxc-parser').TSSignature[]} members */
function isFunctionsOnly(members) {
  return members.length > 0 && members.every(isFunction)
}

/** @param {import('oxc-parser').TSSignature} member */
function isFunction(member) {
  if (member.type === 'TSMethodSignature') return member.kind === 'method'
  return member.type === 'TSPropertySignature' && member.typeAnnotation?.typeAnnotation.type === 'TSFunctionType'
}

/**
 * Files that assign to fields of a class from outside or inside of it. By the fields' names, since nothing here knows types:
 * a file counts when it assigns `x.field` and names the class, and `x` isn't `this` of another class.
 *
 * @param {readonly Source[]} sources
 * @param {string} className
 * @returns {string[]}
 */
export function writersOf(sources, className) {
  const home = sources.find(({ program }) => classIn(program, className) !== undefined)
  const body = home === undefined ? undefined : classIn(home.program, className)?.body.body
  const fields = new Set(
    (body ?? []).flatMap((member) =>
      member.type === 'PropertyDefinition' && !member.readonly && member.key.type === 'Identifier'
        ? [member.key.name]
        : [],
    ),
  )
  return sources
    .filter((source) => source === home || (source.text.includes(className) && assignsTo(source.program, fields)))
    .map(({ path }) => path)
}

/**
 * @param {import('oxc-parser').Program} program
 * @param {string} name
 */
function classIn(program, name) {
  /** @type {import('oxc-parser').Class | undefined} */
  let found
  new Visitor({
    ClassDeclaration(node) {
      if (node.id?.name === name) found = node
    },
  }).visit(program)
  return found
}

/**
 * @param {import('oxc-parser').Program} program
 * @param {ReadonlySet<string>} fields
 */
function assignsTo(program, fields) {
  let found = false
  /** @param {import('oxc-parser').Node} target */
  const look = (target) => {
    if (target.type !== 'MemberExpression' || target.object.type === 'ThisExpression') return
    if (target.property.type === 'Identifier' && fields.has(target.property.name)) found = true
  }
  new Visitor({
    AssignmentExpression: (node) => look(node.left),
    UpdateExpression: (node) => look(node.argument),
  }).visit(program)
  return found
}

/**
 * Lines of code: neither empty nor comment.
 *
 * @param {string} text
 */
export function codeLines(text) {
  return text
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .split('\n')
    .filter((line) => line.trim() !== '' && !line.trim().startsWith('//')).length
}

/**
 * The names that a door exports; a star counts as one.
 *
 * @param {Source} door
 */
export function exportedNames({ program }) {
  return program.body.reduce((count, statement) => {
    if (statement.type === 'ExportAllDeclaration') return count + 1
    return statement.type === 'ExportNamedDeclaration' ? count + statement.specifiers.length : count
  }, 0)
}
