// A module hook: every function of core says its file and name as it is entered. See trace.mjs.
import { fileURLToPath } from 'node:url'
import { parseSync, Visitor } from 'oxc-parser'

const CORE = /\/packages\/core\/dist\/(.+)\.js$/

/** @type {import('node:module').LoadHook} */
export async function load(url, context, nextLoad) {
  const loaded = await nextLoad(url, context)
  const file = CORE.exec(url)?.[1]
  if (file === undefined || loaded.source === undefined || loaded.source === null) return loaded
  return { ...loaded, source: traced(textOf(loaded.source), fileURLToPath(url), file) }
}

/** @param {string | ArrayBuffer | NodeJS.TypedArray} source */
function textOf(source) {
  return typeof source === 'string' ? source : new TextDecoder().decode(source)
}

/**
 * @param {string} text
 * @param {string} path
 * @param {string} file
 */
function traced(text, path, file) {
  /** @type {[at: number, inserted: string][]} */
  const insertions = []
  const mark = (/** @type {string} */ name) =>
    `globalThis.streamswitchTrace?.(${JSON.stringify(file)}, ${JSON.stringify(name)})`
  /** @param {{ body: { type: string, start: number, end: number } | null }} node @param {string} name */
  const add = ({ body }, name) => {
    if (body === null) return
    if (body.type === 'BlockStatement' || body.type === 'FunctionBody')
      insertions.push([body.start + 1, `${mark(name)};`])
    else insertions.push([body.start, `(${mark(name)}, (`], [body.end, '))'])
  }
  new Visitor({
    FunctionDeclaration: (node) => add(node, node.id?.name ?? ''),
    MethodDefinition(node) {
      const name = node.key.type === 'Identifier' || node.key.type === 'PrivateIdentifier' ? node.key.name : ''
      add(node.value, name)
    },
    ArrowFunctionExpression: (node) => add(node, ''),
  }).visit(parseSync(path, text, { sourceType: 'module' }).program)
  insertions.sort(([a], [b]) => b - a)
  return insertions.reduce((result, [at, inserted]) => result.slice(0, at) + inserted + result.slice(at), text)
}
