import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow } from '../workspace.mjs'
import { titleOf } from './markdown.mjs'

/** Reading order; a page that isn't named here comes after these, by its path. */
const ORDER = [
  'guide/README.md',
  'guide/getting-started.md',
  'guide/concepts.md',
  'guide/producing.md',
  'guide/consuming.md',
  'guide/ordering.md',
  'guide/retries.md',
  'guide/idempotency.md',
  'guide/request-reply.md',
  'guide/composing.md',
  'guide/testing.md',
  'guide/operations.md',
  'guide/errors.md',
  'guide/options.md',
  'options.md',
  'capabilities.md',
  'wire-format.md',
  'security.md',
  'rights.md',
  'runbook.md',
  'reliability.md',
  'idle-cost.md',
  'brokers.md',
  'broker-versions.md',
  'operators.md',
  'fuzzing.md',
]

const SECTIONS = [
  { folder: 'guide', heading: '### Guide' },
  { folder: '', heading: '### Reference and operations' },
  { folder: 'transports', heading: '### Transports' },
  { folder: 'migrating', heading: '### Migrating' },
  { folder: 'decisions', heading: '### Decisions' },
]

/**
 * @typedef {object} DocsPage
 * @property {string} link From `docs`.
 * @property {string} title
 * @property {string} text
 *
 * @typedef {object} DocsSection
 * @property {string} heading
 * @property {DocsPage[]} list
 */

/**
 * Every page below `docs`, by folder, in reading order.
 *
 * @param {string} root
 * @param {ReadonlyMap<string, string>} written Pages that are about to be written, by path relative to the root.
 * @param {string[]} problems Gets a line for each page without a title.
 * @returns {DocsSection[]}
 */
export function docsSections(root, written, problems) {
  const paths = new Set([...filesBelow(root, 'docs', /\.md$/), ...written.keys()])
  paths.delete('docs/README.md')
  const pages = [...paths].toSorted(byReadingOrder).map((path) => {
    const text = written.get(path) ?? readFileSync(join(root, path), 'utf8')
    const title = titleOf(text)
    if (title === undefined) problems.push(`${path}: has no title: its first line should be '# …'`)
    return { link: path.slice('docs/'.length), title: title ?? path, text }
  })
  const folders = SECTIONS.map(({ folder }) => folder)
  const others = [...new Set(pages.map(({ link }) => folderOf(link)))].filter((folder) => !folders.includes(folder))
  return [...SECTIONS, ...others.map((folder) => ({ folder, heading: `### ${folder}` }))]
    .map(({ folder, heading }) => ({ heading, list: pages.filter(({ link }) => folderOf(link) === folder) }))
    .filter(({ list }) => list.length > 0)
}

/**
 * Links to every page below `docs`, by folder, with the pages' titles.
 *
 * @param {readonly DocsSection[]} sections
 */
export function docsIndex(sections) {
  return sections
    .map(({ heading, list }) => [heading, '', ...list.map(({ link, title }) => `- [${title}](${link})`)].join('\n'))
    .join('\n\n')
}

/** @param {string} link */
function folderOf(link) {
  return link.includes('/') ? (link.split('/')[0] ?? '') : ''
}

/**
 * @param {string} left
 * @param {string} right
 */
function byReadingOrder(left, right) {
  return rank(left) - rank(right) || (left < right ? -1 : 1)
}

/** @param {string} path */
function rank(path) {
  const index = ORDER.indexOf(path.slice('docs/'.length))
  return index === -1 ? ORDER.length : index
}
