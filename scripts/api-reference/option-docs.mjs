// Checks that what an editor shows of each option that a package exports has a text: the docstrings of the sources must have reached the published
// types. Those of fields that are spread from another file don't by themselves.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { publishedPackages, ROOT } from '../workspace.mjs'

/** What sets of options are called. `TlsSettings` is what adapters get of them. */
const OPTIONS = /Options$|^(?:Consumer|Producer)Settings$/

const ADAPTERS = new Set(publishedPackages().map(({ directory }) => directory.replace('packages/', '')))

/**
 * @param {readonly string[]} doors Files of types.
 * @returns {string[]} A line per option without a text, by the type that has it.
 */
export function optionsWithoutText(doors) {
  const program = ts.createProgram([...doors], {
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    strict: true,
    skipLibCheck: true,
    types: [],
  })
  const checker = program.getTypeChecker()
  return doors.flatMap((door) => {
    const file = program.getSourceFile(door)
    const module = file === undefined ? undefined : checker.getSymbolAtLocation(file)
    if (module === undefined) throw new Error(`${door} exports nothing`)
    return checker.getExportsOfModule(module).flatMap((exported) => {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      if (!OPTIONS.test(symbol.name) || !(symbol.flags & (ts.SymbolFlags.TypeAlias | ts.SymbolFlags.Interface)))
        return []
      return withoutText(checker, checker.getDeclaredTypeOfSymbol(symbol), symbol.name)
    })
  })
}

/**
 * @param {ts.TypeChecker} checker
 * @param {ts.Type} type
 * @param {string} path
 * @returns {string[]}
 */
function withoutText(checker, type, path) {
  return checker.getPropertiesOfType(type).flatMap((property) => {
    // One for each adapter, whose own types have the texts.
    if (ADAPTERS.has(property.name)) return []
    const place = `${path}.${property.name}`
    const own = property.getDocumentationComment(checker).length > 0 ? [] : [place]
    const inner = checker.getNonNullableType(checker.getTypeOfSymbol(property))
    return isGroup(inner) ? [...own, ...withoutText(checker, inner, place)] : own
  })
}

/**
 * A group of options, as opposed to an object of another kind.
 *
 * @param {ts.Type} type
 */
function isGroup(type) {
  return type.aliasSymbol?.name === 'OptionInput'
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const doors = publishedPackages().flatMap(({ directory, manifest }) =>
    Object.values(manifest.exports ?? {}).flatMap((target) =>
      typeof target === 'object' && target !== null && 'types' in target
        ? [join(ROOT, directory, String(target.types))]
        : [],
    ),
  )
  const missing = doors.filter((door) => !existsSync(door))
  const found = missing.length > 0 ? missing.map((door) => `${door}: run npm run build`) : optionsWithoutText(doors)
  const problems = [...new Set(found)]
  for (const problem of problems) process.stdout.write(`${problem} has no text in the published types\n`)
  process.stdout.write(`texts of options: ${problems.length === 0 ? 'complete' : `${problems.length} problems`}\n`)
  if (problems.length > 0) process.exitCode = 1
}
