// Checks the prose of pages, comments and messages against the word list (scripts/prose/word-list.mjs). What a file had
// when the list was written down is its budget (scripts/prose/budget.json), which may only shrink: a file without an
// entry has none. `--lower` writes the lower figures of files that have improved.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { proseFindings } from './prose/findings.mjs'
import { filesBelow, ROOT } from './workspace.mjs'

/** @import { Finding } from './prose/findings.mjs' */
/** @typedef {{ phrases: number, words: number }} Count */

const BUDGET = 'scripts/prose/budget.json'
const FOLDERS = ['.github', 'benchmarks', 'docs', 'examples', 'packages', 'scripts']
const READ = /\.(?:md|ts|mjs)$/

/** The list and its tests hold the phrases themselves; lists of exact output are no prose. */
const UNREAD = /^(?:scripts\/prose\/word-list\.mjs|scripts\/test\/check-prose\.test\.mjs)$|\/(?:dist|test-results)\//

/**
 * @typedef {object} ProseReport
 * @property {string[]} violations One line per phrase or word of each file that is above its budget.
 * @property {string[]} improved Files below their budget.
 * @property {Record<string, Count>} lowered The budget, lowered to what the files have: never raised.
 */

/**
 * @param {string} [root]
 * @returns {ProseReport}
 */
export function checkProse(root = ROOT) {
  const budget = readBudget(root)
  /** @type {string[]} */
  const violations = []
  /** @type {string[]} */
  const improved = []
  /** @type {Record<string, Count>} */
  const lowered = {}
  for (const path of filesToRead(root)) {
    const findings = proseFindings(path, readFileSync(join(root, path), 'utf8'))
    const count = countOf(findings)
    const allowed = budget?.[path] ?? (budget === undefined ? count : { phrases: 0, words: 0 })
    violations.push(...violationsOf(path, findings, allowed))
    if (count.phrases < allowed.phrases || count.words < allowed.words) improved.push(path)
    const left = {
      phrases: Math.min(count.phrases, allowed.phrases),
      words: Math.min(count.words, allowed.words),
    }
    if (left.phrases + left.words > 0) lowered[path] = left
  }
  improved.push(...Object.keys(budget ?? {}).filter((path) => !existsSync(join(root, path))))
  return { violations, improved, lowered }
}

/**
 * @param {string} path
 * @param {readonly Finding[]} findings
 * @param {Count} allowed
 */
function violationsOf(path, findings, allowed) {
  const count = countOf(findings)
  return findings
    .filter(({ kind }) => count[kind] > allowed[kind])
    .map(({ kind, line, found, instead }) =>
      kind === 'phrases'
        ? `${path}:${line}: "${found}": write ${instead}`
        : `${path}:${line}: "${found}": one of ${count.words} such words, the budget is ${allowed.words}: say it in the field's terms`,
    )
}

/**
 * @param {readonly Finding[]} findings
 * @returns {Count}
 */
function countOf(findings) {
  const phrases = findings.filter(({ kind }) => kind === 'phrases').length
  return { phrases, words: findings.length - phrases }
}

/**
 * @param {string} root
 * @returns {string[]}
 */
function filesToRead(root) {
  const pages = ['CONTRIBUTING.md', 'README.md', 'SECURITY.md'].filter((path) => existsSync(join(root, path)))
  return [...pages, ...FOLDERS.flatMap((folder) => filesBelow(root, folder, READ))].filter((path) => !UNREAD.test(path))
}

/**
 * @param {string} root
 * @returns {Record<string, Count> | undefined} Nothing where none has been written yet: then everything is allowed.
 */
function readBudget(root) {
  const path = join(root, BUDGET)
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

/**
 * Writes the lowered budget.
 *
 * @param {Record<string, Count>} lowered
 * @param {string} [root]
 */
export function writeBudget(lowered, root = ROOT) {
  const lines = Object.entries(lowered)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([path, { phrases, words }]) => `  ${JSON.stringify(path)}: { "phrases": ${phrases}, "words": ${words} }`)
  writeFileSync(join(root, BUDGET), `{\n${lines.join(',\n')}\n}\n`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { lower: { type: 'boolean', default: false } } })
  const { violations, improved, lowered } = checkProse()
  for (const violation of violations) process.stderr.write(`${violation}\n`)
  if (values.lower) writeBudget(lowered)
  else if (improved.length > 0)
    process.stdout.write(
      `prose: ${improved.length} files are below their budget; lower it by \`node scripts/check-prose.mjs --lower\`\n`,
    )
  process.stdout.write(`prose: ${violations.length === 0 ? 'within its budget' : `${violations.length} violations`}\n`)
  if (violations.length > 0) process.exitCode = 1
}
