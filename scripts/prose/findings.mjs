import { proseTexts } from './prose-texts.mjs'
import { PHRASES, WORDS } from './word-list.mjs'

/**
 * @typedef {object} Finding
 * @property {'phrases' | 'words'} kind
 * @property {number} line
 * @property {string} found
 * @property {string} [instead] For a phrase.
 */

const WORD = new RegExp(`(?<![\\w-])(?:${WORDS.join('|')})(?![\\w-])`, 'gi')

/**
 * Finds the phrases and words of the word list in the prose of a file.
 *
 * @param {string} path
 * @param {string} content
 * @returns {Finding[]}
 */
export function proseFindings(path, content) {
  return proseTexts(path, content).flatMap(({ text, line }) => {
    /** @param {number} index */
    const lineOf = (index) => line + text.slice(0, index).split('\n').length - 1
    /** @type {Finding[]} */
    const phrases = PHRASES.flatMap(({ pattern, instead }) =>
      [...text.matchAll(pattern)].map(({ 0: found, index }) => ({
        kind: /** @type {const} */ ('phrases'),
        line: lineOf(index),
        found: found.replaceAll(/\s+/g, ' '),
        instead,
      })),
    )
    const words = [...text.matchAll(WORD)].map(({ 0: found, index }) => ({
      kind: /** @type {const} */ ('words'),
      line: lineOf(index),
      found,
    }))
    return [...phrases, ...words].toSorted((left, right) => left.line - right.line)
  })
}
