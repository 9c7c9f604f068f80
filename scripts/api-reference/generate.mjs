// Writes the API reference of every door of every package to api/, from the docstrings. Fails where a link in them leads nowhere.
// With --check nothing is written.
import { join } from 'node:path'
import { Application } from 'typedoc'
import { publishedPackages, ROOT } from '../workspace.mjs'

/** What packages export, by the sources that it is compiled from. */
function doors() {
  return new Map(
    publishedPackages().flatMap(({ directory, manifest }) =>
      Object.entries(manifest.exports ?? {}).flatMap(([subpath, target]) => {
        const built = typeof target === 'object' && target !== null && 'default' in target ? String(target.default) : ''
        if (built === '') return []
        const source = built.replace(/^\.\/dist\//, 'src/').replace(/\.js$/, '.ts')
        return [[join(ROOT, directory, source), `${manifest.name}${subpath.slice(1)}`]]
      }),
    ),
  )
}

const names = doors()
const application = await Application.bootstrap({
  name: 'Streamswitch',
  entryPoints: [...names.keys()],
  tsconfig: join(import.meta.dirname, 'tsconfig.json'),
  out: join(ROOT, 'api'),
  readme: 'none',
  excludeInternal: true,
  excludePrivate: true,
  excludeExternals: true,
  disableSources: true,
  // `typecheck` does that.
  skipErrorChecking: true,
  validation: { invalidLink: true, notExported: false, notDocumented: false },
})
const found = () => application.logger.hasErrors() || application.logger.hasWarnings()
const entryPoints = application.getEntryPoints() ?? []
for (const entry of entryPoints) entry.displayName = names.get(entry.sourceFile.fileName) ?? entry.displayName
const project = application.converter.convert(entryPoints)
application.validate(project)
if (!found() && !process.argv.includes('--check')) await application.generateOutputs(project)
process.stdout.write(`API reference: ${found() ? 'has links that lead nowhere' : `${entryPoints.length} doors`}\n`)
if (found()) process.exitCode = 1
