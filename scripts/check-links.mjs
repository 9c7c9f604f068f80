// Checks the links of every Markdown page of the repository, and the pages that sources name: the file and the heading must exist. Links to other
// sites are not followed. Prints each dead link.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import GithubSlugger from 'github-slugger'
import { fromMarkdown } from 'mdast-util-from-markdown'
import { toString as textOf } from 'mdast-util-to-string'
import { visit } from 'unist-util-visit'
import { filesBelow, ROOT } from './workspace.mjs'

/** Links of the packages' READMEs are absolute, since npm shows them without the repository. */
const OWN_SITE = /^https:\/\/github\.com\/streamswitch\/streamswitch\/(?:blob|tree)\/main(?:\/|$)/
const OTHER_SITE = /^[a-z][a-z+.-]*:|^\/\//i
/** Written by tools, or another's. */
const NOT_OURS = /(?:^|\/)(?:node_modules|dist|test-results|release|coverage|\.git|\.turbo)\//
/** Sources whose comments, messages and settings name pages. Tests name made-up ones; a ledger that a script keeps of files names what was there. */
const SOURCE =
  /^(?:scripts\/(?!test\/).+\.mjs|(?:packages|examples)\/[^/]+\/(?:.+\/)?src\/.+|benchmarks\/src\/.+|[^/]+\.json)$/
const FILE = /\.(?:md|ts|mts|mjs|json)$/
const PAGE_NAME = /(?<![\w/.-])(?:docs|packages|examples|benchmarks)\/[\w./-]+\.md(?:#[\w-]+)?/g

/**
 * @typedef {object} Link
 * @property {string} file The page or source that it is in.
 * @property {number} line
 * @property {string} target As it is written.
 * @property {string} path From the root.
 * @property {string} anchor Empty for the page as a whole.
 */

/**
 * Finds every link into this repository that leads nowhere.
 *
 * @param {string} [root]
 * @returns {string[]} One line per dead link: `file:line: target: what is missing`.
 */
export function findDeadLinks(root = ROOT) {
  const files = repositoryFiles(root)
  const pages = files.filter((file) => file.endsWith('.md')).map((file) => readPage(root, file))
  const anchors = new Map(pages.map((page) => [page.file, page.anchors]))
  const links = [
    ...pages.flatMap((page) => page.links),
    ...files
      .filter((file) => SOURCE.test(file) && /\.(?:ts|mts|mjs|json)$/.test(file))
      .flatMap((file) => pagesNamedIn(root, file)),
  ]
  return links.flatMap(({ file, line, target, path, anchor }) => {
    const problem = problemWith(root, { path, anchor }, anchors)
    return problem === undefined ? [] : [`${file}:${line}: ${target}: ${problem}`]
  })
}

/**
 * @param {string} root
 * @param {{ path: string, anchor: string }} link
 * @param {ReadonlyMap<string, ReadonlySet<string>>} anchors By page.
 * @returns {string | undefined}
 */
function problemWith(root, { path, anchor }, anchors) {
  if (path.startsWith('..')) return 'is outside of the repository'
  if (!existsSync(join(root, path))) return `there is no ${path}`
  if (anchor === '') return undefined
  const page = statSync(join(root, path)).isDirectory() ? posix.join(path, 'README.md') : path
  const known = anchors.get(page)
  // Line numbers and the like, in files that have no headings.
  if (known === undefined || known.has(anchor)) return undefined
  return `${page} has no heading #${anchor}`
}

/**
 * @param {string} root
 * @param {string} file
 * @returns {{ file: string, links: Link[], anchors: Set<string> }}
 */
function readPage(root, file) {
  const slugger = new GithubSlugger()
  /** @type {Set<string>} */
  const anchors = new Set()
  /** @type {Link[]} */
  const links = []
  visit(fromMarkdown(readFileSync(join(root, file), 'utf8')), (node) => {
    if (node.type === 'heading') anchors.add(slugger.slug(textOf(node)))
    if (node.type === 'html')
      for (const [, id] of node.value.matchAll(/\b(?:id|name)="([^"]+)"/g)) anchors.add(id ?? '')
    if (node.type !== 'link' && node.type !== 'image' && node.type !== 'definition') return
    const link = parsed(file, node.url)
    if (link !== undefined) links.push({ file, line: node.position?.start.line ?? 0, target: node.url, ...link })
  })
  return { file, links, anchors }
}

/**
 * @param {string} file
 * @param {string} url
 * @returns {{ path: string, anchor: string } | undefined} Undefined for another site.
 */
function parsed(file, url) {
  const own = OWN_SITE.exec(url)?.[0]
  if (own === undefined && OTHER_SITE.test(url)) return undefined
  const [, target = '', anchor = ''] = /^([^?#]*)(?:\?[^#]*)?#?(.*)$/.exec(url.slice(own?.length ?? 0)) ?? []
  const path = decodeURIComponent(target)
  if (own !== undefined || path.startsWith('/')) return { path: posix.normalize(`./${path}`), anchor }
  return { path: path === '' ? file : posix.join(posix.dirname(file), path), anchor }
}

/**
 * @param {string} root
 * @param {string} file
 * @returns {Link[]}
 */
function pagesNamedIn(root, file) {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .flatMap((text, index) =>
      [...text.matchAll(PAGE_NAME)].map(([target]) => {
        const [path = '', anchor = ''] = target.split('#')
        return { file, line: index + 1, target, path, anchor }
      }),
    )
}

/**
 * Pages and sources, also those that aren't committed yet.
 *
 * @param {string} root
 * @returns {string[]}
 */
function repositoryFiles(root) {
  return readdirSync(root, { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules' && name !== '.git')
    .flatMap((entry) => (entry.isDirectory() ? filesBelow(root, entry.name, FILE) : [entry.name]))
    .filter((file) => !NOT_OURS.test(file))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const dead = findDeadLinks()
  for (const link of dead) process.stderr.write(`${link}\n`)
  process.stdout.write(`links: ${dead.length === 0 ? 'all lead somewhere' : `${dead.length} dead`}\n`)
  if (dead.length > 0) process.exitCode = 1
}
