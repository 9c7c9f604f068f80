// Writes the parts of docs/ that are made from code: tables of options, the capability matrix, the list of pages, and llms.txt,
// and the `@default` of options in their docstrings. Reads
// the built packages for values and their sources for meanings. With --check nothing is written: fails where a part is
// out of date.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { capabilityMatrix } from './docs/capability-matrix.mjs'
import { loadDescribed } from './docs/described.mjs'
import { docsIndex, docsSections } from './docs/docs-index.mjs'
import { llmsText } from './docs/llms-text.mjs'
import { code, withPart } from './docs/markdown.mjs'
import { statedDefaults } from './docs/option-defaults.mjs'
import { optionTable } from './docs/option-table.mjs'
import { Sources } from './docs/sources.mjs'
import { filesBelow, publishedPackages, ROOT } from './workspace.mjs'

/** @import { Adapter, Described, Fields } from './docs/described.mjs' */

const CORE = 'packages/core/src'

/** Shown to who edits a page by hand. */
const NOTICE = '<!-- Written by `pnpm generate:docs`; edit the comments in the sources. -->'

/**
 * @typedef {object} Part The generated part of one page.
 * @property {string} path
 * @property {string} title Of the page, where it doesn't exist yet.
 * @property {string} part Name of the markers.
 * @property {string} text
 * @property {string} [heading] What the part stands below.
 */

/**
 * Makes all pages with generated parts.
 *
 * @param {Described} described
 * @param {string} [root]
 * @returns {{ pages: Map<string, string>, problems: string[] }} Contents by path, and a line per thing that is
 *   undocumented.
 */
export function generatePages(described, root = ROOT) {
  /** @type {string[]} */
  const problems = []
  /** @type {Map<string, string>} */
  const pages = new Map()
  const sources = new Sources(root)
  const add = (/** @type {Part} */ { path, title, part, text, heading }) => {
    const present = existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : `# ${title}\n`
    try {
      pages.set(path, withPart(present, part, `${NOTICE}\n\n${text}\n`, heading))
    } catch (error) {
      problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  /** @type {Section} */
  const section = (heading, fields, path) => {
    const isEmpty = Object.keys(fields).length === 0
    return `${heading}\n\n${isEmpty ? 'There are none.' : optionTable(sources, { fields, path }, problems)}`
  }
  const common = [
    section('## Transports', described.transportFields, `${CORE}/transport/transport-options.ts`),
    section('## Producers', described.producerFields, `${CORE}/producer/producer-options.ts`),
    section('## Consumer loops', described.consumerFields, `${CORE}/consumer/consumer-options.ts`),
  ]
  add({ path: 'docs/options.md', title: 'Options', part: 'options', text: common.join('\n\n') })
  const matrix = capabilityMatrix(sources, described.capabilityNames, described.official, problems)
  add({ path: 'docs/capabilities.md', title: 'Capabilities', part: 'capabilities', text: matrix })
  for (const [directory, adapter] of described.adapters) {
    const text = adapterOptions(adapter, `${directory}/src/options.ts`, section)
    const path = `docs/transports/${adapter.name}.md`
    add({ path, title: adapter.name, part: 'options', text, heading: '## Options' })
  }
  const sections = docsSections(root, pages, problems)
  add({ path: 'docs/README.md', title: 'Documentation', part: 'pages', text: docsIndex(sections) })
  pages.set('llms.txt', llmsText(root, sections))
  return { pages, problems }
}

/** The files that may declare options. */
function packageSources() {
  return publishedPackages().flatMap(({ directory }) => filesBelow(ROOT, `${directory}/src`, /\.ts$/))
}

/** @typedef {(heading: string, fields: Fields, path: string) => string} Section Makes a heading and its table. */

/**
 * @param {Adapter} adapter
 * @param {string} path The file that declares its options.
 * @param {Section} section
 */
function adapterOptions({ name, schemes, defaultUrl, options, producerOptions, consumerOptions }, path, section) {
  const urls = schemes.map((scheme) => code(`${scheme}://`)).join(' or ')
  return [
    `URLs begin with ${urls}. Where neither a URL nor a variable says where to connect, it is ${code(defaultUrl)}.`,
    'Options that all transports share are in [options](../options.md).',
    section('### Of the transport', options, path),
    section(`### Of producers, below ${code(name)}`, producerOptions, path),
    section(`### Of consumer loops, below ${code(name)}`, consumerOptions, path),
  ].join('\n\n')
}

/**
 * @param {ReadonlyMap<string, string>} pages
 * @param {{ check: boolean }} options
 * @returns {string[]} In check mode a line per page that is out of date.
 */
function writePages(pages, { check }) {
  return [...pages].flatMap(([path, content]) => {
    const file = join(ROOT, path)
    if (existsSync(file) && readFileSync(file, 'utf8') === content) return []
    if (check) return [`${path}: its generated part is out of date: run pnpm generate:docs`]
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    process.stdout.write(`wrote ${path}\n`)
    return []
  })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  /** @type {string[]} */
  const missing = []
  const { pages, problems } = generatePages(await loadDescribed(missing))
  const defaults = statedDefaults(new Sources(ROOT), packageSources())
  const outdated = writePages(new Map([...pages, ...defaults.files]), { check: process.argv.includes('--check') })
  const found = [...missing, ...problems, ...defaults.problems, ...outdated]
  for (const problem of found) process.stderr.write(`${problem}\n`)
  process.stdout.write(`generated documentation: ${found.length === 0 ? 'up to date' : `${found.length} problems`}\n`)
  if (found.length > 0) process.exitCode = 1
}
