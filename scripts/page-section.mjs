import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ScriptFailure } from './run.mjs'
import { ROOT } from './workspace.mjs'

/**
 * Puts a text into a page on disk, between `<!-- name -->` and `<!-- end of name -->`.
 *
 * @param {string} path Relative to the repository.
 * @param {string} name
 * @param {string} section
 */
export function writePageSection(path, name, section) {
  const file = join(ROOT, path)
  writeFileSync(file, withSection(readFileSync(file, 'utf8'), name, section, path))
}

/**
 * @param {string} path Relative to the repository.
 * @param {string} name
 */
export function readPageSection(path, name) {
  return sectionOf(readFileSync(join(ROOT, path), 'utf8'), name, path)
}

/**
 * @param {string} page
 * @param {string} name
 * @param {string} section
 * @param {string} path For the error.
 */
export function withSection(page, name, section, path) {
  const [begin, end] = marksOf(name)
  return page.replace(`${begin}${sectionOf(page, name, path)}${end}`, () => `${begin}\n\n${section}\n\n${end}`)
}

/**
 * @param {string} page
 * @param {string} name
 * @param {string} path For the error.
 */
export function sectionOf(page, name, path) {
  const [begin, end] = marksOf(name)
  const [section, after] = page.split(begin)[1]?.split(end) ?? []
  if (section === undefined || after === undefined) throw new ScriptFailure(`${path} must have ${begin} and ${end}`)
  return section
}

/**
 * @param {string} name
 * @returns {[string, string]}
 */
function marksOf(name) {
  return [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
}
