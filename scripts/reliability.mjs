import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, ScriptFailure } from './run.mjs'
import { build } from './turbo.mjs'
import { ROOT, workspacePackages } from './workspace.mjs'

export const SUITE = 'test/reliability.test.ts'
const RESULTS = 'test-results/reliability'
const PAGE = 'docs/reliability.md'

/**
 * What one fault did to one transport, as `@streamswitch/testkit` writes it.
 *
 * @typedef {object} Row
 * @property {string} transport
 * @property {number} item
 * @property {string} fault
 * @property {'passed' | 'failed' | 'not run'} outcome
 * @property {string} [reason]
 * @property {string} [hit]
 * @property {number} [sent]
 * @property {number} [confirmed]
 * @property {number} [handled]
 * @property {number} [lost]
 * @property {number} [phantom]
 * @property {number} [duplicates]
 * @property {number} [duplicatesBound]
 * @property {string} [duplicatesFormula]
 * @property {number} [reordered]
 * @property {number} [settledTwice]
 * @property {number} [recoveryMs]
 * @property {number} [recoveryBoundMs]
 */

/**
 * Runs the fault suites of all packages that have one, or of those named by folder, one after the other, and writes what they
 * found into `docs/reliability.md`. Rejects when a case failed or was not run; the page is written all the same.
 *
 * @param {readonly string[]} names
 */
export async function runReliability(names) {
  const folders = suiteFolders([])
  const chosen = suiteFolders(names)
  await build({ packages: ['./packages/*'], quiet: true })
  let failed = false
  for (const folder of chosen) {
    rmSync(join(ROOT, folder, RESULTS), { recursive: true, force: true })
    const { code } = await run('pnpm', ['exec', 'vitest', 'run', SUITE], { cwd: join(ROOT, folder) })
    failed ||= code !== 0
  }
  const rows = folders.flatMap((folder) => readRows(join(ROOT, folder, RESULTS)))
  writeSection('results', resultTables(rows))
  process.stdout.write(`\n${PAGE} has ${rows.length} rows\n`)
  if (failed) throw new ScriptFailure('')
}

/**
 * Folders of the packages that have a fault suite: all of them, or those named.
 *
 * @param {readonly string[]} names
 */
export function suiteFolders(names) {
  const folders = workspacePackages()
    .map(({ directory }) => directory)
    .filter((directory) => existsSync(join(ROOT, directory, SUITE)))
  for (const name of names) {
    if (!folders.some((folder) => folder.endsWith(`/${name}`)))
      throw new ScriptFailure(`no package with a fault suite is called ${name}; there are ${folders.join(', ')}`)
  }
  return names.length === 0 ? folders : folders.filter((one) => names.some((name) => one.endsWith(`/${name}`)))
}

/**
 * @param {string} folder
 * @returns {Row[]}
 */
export function readRows(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .flatMap((name) => /** @type {Row[]} */ (JSON.parse(readFileSync(join(folder, name), 'utf8'))))
}

/**
 * Puts a text into the page, between `<!-- name -->` and `<!-- end of name -->`.
 *
 * @param {string} name
 * @param {string} section
 */
export function writeSection(name, section) {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`]
  const path = join(ROOT, PAGE)
  const text = readFileSync(path, 'utf8')
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined) throw new ScriptFailure(`${PAGE} must have ${begin} and ${end}`)
  writeFileSync(path, `${before}${begin}\n\n${section}\n\n${end}${after}`)
}

/**
 * One table of all rounds of a soak run.
 *
 * @param {readonly Row[]} rows
 */
export function soakTable(rows) {
  const lines = rows.map((row) => {
    const cells = [
      row.transport,
      `${row.item}`,
      row.hit ?? '',
      row.outcome === 'passed' ? 'passed' : `**${row.outcome}**: ${row.reason ?? ''}`,
      count(row.sent),
      count(row.confirmed),
      count(row.handled),
      count(row.lost),
      count(row.phantom),
      row.duplicates === undefined ? '' : `${count(row.duplicates)} of ${count(row.duplicatesBound)}`,
      count(row.reordered),
      count(row.settledTwice),
      seconds(row.recoveryMs),
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return [
    '| transport | round | faults | outcome | sent | confirmed | handled | lost | phantom | duplicates, of at most | reordered | settled twice | slowest recovery |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...lines,
  ].join('\n')
}

/**
 * A table for each transport, and how the bounds on duplicates come about.
 *
 * @param {readonly Row[]} rows
 */
export function resultTables(rows) {
  const transports = [...new Set(rows.map(({ transport }) => transport))].toSorted()
  return transports
    .map((transport) =>
      tableOf(
        transport,
        rows.filter((row) => row.transport === transport),
      ),
    )
    .join('\n\n')
}

/**
 * @param {string} transport
 * @param {readonly Row[]} rows
 */
function tableOf(transport, rows) {
  const formulas = [...new Set(rows.flatMap(({ duplicatesFormula }) => duplicatesFormula ?? []))]
  const lines = rows.map((row) => {
    const note = row.duplicatesFormula === undefined ? '' : ` (${formulas.indexOf(row.duplicatesFormula) + 1})`
    const cells = [
      `${row.item}`,
      row.fault,
      row.outcome === 'passed' ? (row.hit ?? '') : `**${row.outcome}**: ${row.reason ?? ''}`,
      count(row.sent),
      count(row.confirmed),
      count(row.handled),
      count(row.lost),
      row.duplicates === undefined ? '' : `${count(row.duplicates)} of ${count(row.duplicatesBound)}${note}`,
      count(row.reordered),
      count(row.settledTwice),
      row.recoveryMs === undefined ? '' : `${seconds(row.recoveryMs)} of ${seconds(row.recoveryBoundMs)}`,
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return [
    `### ${transport}`,
    '',
    '| item | fault | what it hit | sent | confirmed | handled | lost | duplicates, of at most | reordered | settled twice | recovery, of at most |',
    '|---|---|---|---|---|---|---|---|---|---|---|',
    ...lines,
    '',
    'Bounds on duplicates:',
    '',
    ...formulas.map((formula, index) => `${index + 1}. ${formula}`),
  ].join('\n')
}

/** @param {number | undefined} number */
function count(number) {
  return number === undefined ? '' : number.toLocaleString('en')
}

/** @param {number | undefined} ms */
function seconds(ms) {
  return ms === undefined ? '' : `${(ms / 1_000).toFixed(1)} s`
}
