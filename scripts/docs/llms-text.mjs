import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { publishedPackages } from '../workspace.mjs'
import { titleOf } from './markdown.mjs'

/** @import { DocsSection } from './docs-index.mjs' */

/** What a reader in a hurry may skip: the format's own name for such a section. */
const OPTIONAL = { heading: '### Decisions', name: 'Optional' }

/**
 * `llms.txt` as llmstxt.org describes it: title, summary, and sections of links to the documentation with a sentence about each page, all of it
 * from the pages themselves.
 *
 * @param {string} root
 * @param {readonly DocsSection[]} sections
 */
export function llmsText(root, sections) {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const { repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const base = `${repository.url.replace(/^git\+/, '').replace(/\.git$/, '')}/blob/main`
  const packages = publishedPackages(root).map(({ directory, manifest }) =>
    entry(manifest.name, `${base}/${directory}/README.md`, manifest.description ?? ''),
  )
  const documentation = sections.map(({ heading, list }) => {
    const isOptional = heading === OPTIONAL.heading
    return {
      name: isOptional ? OPTIONAL.name : heading.replace(/^#+ /, ''),
      lines: list.map(({ link, title, text }) =>
        entry(title, `${base}/docs/${link}`, isOptional ? '' : summaryOf(text)),
      ),
    }
  })
  const all = [
    ...documentation.filter(({ name }) => name !== OPTIONAL.name),
    { name: 'Packages', lines: packages },
    ...documentation.filter(({ name }) => name === OPTIONAL.name),
  ]
  const blocks = all
    .filter(({ lines }) => lines.length > 0)
    .map(({ name, lines }) => `## ${name}\n\n${lines.join('\n')}`)
  return `${[`# ${titleOf(readme)}`, `> ${paragraphsOf(readme)[0] ?? ''}`, ...blocks].join('\n\n')}\n`
}

/**
 * @param {string} title
 * @param {string} url
 * @param {string} summary
 */
function entry(title, url, summary) {
  return `- [${title}](${url})${summary === '' ? '' : `: ${summary}`}`
}

/**
 * The first sentence of a page's prose, without links. Empty where it has none.
 *
 * @param {string} page
 */
function summaryOf(page) {
  const [first = ''] = paragraphsOf(page)
  const sentences = first.replace(/:$/, '.').match(/.+?[.!?](?=\s|$)/g) ?? []
  // A command to copy is no summary.
  return sentences.map((sentence) => sentence.trim()).find((sentence) => !sentence.startsWith('`npm ')) ?? ''
}

/**
 * @param {string} page
 * @returns {string[]} Each in one line.
 */
function paragraphsOf(page) {
  return page
    .replace(/^```[\s\S]*?^```$/gm, '')
    .split(/\n{2,}/)
    .map((block) =>
      block
        .trim()
        .replace(/\s*\n\s*/g, ' ')
        .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1'),
    )
    .filter((block) => /^[\p{L}`*"']/u.test(block))
}
