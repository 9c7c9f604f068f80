import { code, prose, table, undocumented } from './markdown.mjs'
import { docBefore } from './sources.mjs'

/** @import { Sources } from './sources.mjs' */

/** Where the capabilities are declared. */
const DECLARATION = 'packages/core/src/contract/capabilities.ts'

/**
 * @typedef {object} DescribedAdapter
 * @property {string} name
 * @property {Readonly<Record<string, boolean | string>>} capabilities
 * @property {Readonly<Record<string, boolean | string>>} [existingQueue] In what loops over a queue of others differ.
 */

/**
 * The matrix of what each transport offers, and what each capability means.
 *
 * @param {Sources} sources
 * @param {readonly string[]} names The capabilities, in the order of the rows.
 * @param {readonly DescribedAdapter[]} adapters
 * @param {string[]} problems Gets a line for each capability that isn't documented.
 */
export function capabilityMatrix(sources, names, adapters, problems) {
  const meanings = interfaceDocs(sources, DECLARATION, 'Capabilities')
  const columns = adapters.flatMap(({ name, capabilities, existingQueue }) => {
    const own = { title: `[${name}](transports/${name}.md)`, capabilities }
    if (existingQueue === undefined) return [own]
    const title = `[${name}, existing queue](transports/${name}.md#existing-queues)`
    return [own, { title, capabilities: { ...capabilities, ...existingQueue } }]
  })
  const rows = names.map((name) => [code(name), ...columns.map(({ capabilities }) => cell(capabilities[name]))])
  const described = names.map((name) => {
    const meaning = meanings.get(name)
    if (meaning === undefined) problems.push(undocumented(DECLARATION, `capability '${name}'`))
    return [code(name), prose(meaning ?? '')]
  })
  return [
    table(['capability', ...columns.map(({ title }) => title)], rows),
    '',
    table(['capability', 'meaning'], described),
  ].join('\n')
}

/**
 * The comments on the members of an interface, by name. `undefined` where a member has none.
 *
 * @param {Sources} sources
 * @param {string} path
 * @param {string} name
 * @returns {Map<string, string | undefined>}
 */
export function interfaceDocs(sources, path, name) {
  const source = sources.read(path)
  for (const statement of source.program.body) {
    const declaration = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
    if (declaration?.type !== 'TSInterfaceDeclaration' || declaration.id.name !== name) continue
    return new Map(
      declaration.body.body.flatMap((member) =>
        member.type === 'TSPropertySignature' && member.key.type === 'Identifier'
          ? [[member.key.name, docBefore(source, member)]]
          : [],
      ),
    )
  }
  throw new Error(`${path}: there is no interface ${name}`)
}

/** @param {boolean | string | undefined} value */
function cell(value) {
  if (typeof value === 'string') return prose(value)
  return value === true ? 'yes' : 'no'
}
