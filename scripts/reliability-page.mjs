import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sectionOf, withSection, writePageSection } from './page-section.mjs'
import { ROOT } from './workspace.mjs'

export const PAGE = 'docs/reliability.md'

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
 * The page with these results in place of earlier ones of the same transports.
 *
 * @param {string} page
 * @param {readonly Row[]} rows
 */
export function withResults(page, rows) {
  /** @type {Map<string, string>} */
  const tables = new Map()
  const old = sectionOf(page, 'results', PAGE)
  for (const table of [...old.split(/^(?=### )/m), ...resultTables(rows).split(/^(?=### )/m)]) {
    const transport = /^### (.*)$/m.exec(table)?.[1]
    if (transport !== undefined) tables.set(transport, table.trim())
  }
  const results = [...tables.keys()].toSorted().map((transport) => tables.get(transport))
  return withSection(page, 'results', results.join('\n\n'), PAGE)
}

/**
 * Puts results into the page on disk.
 *
 * @param {readonly Row[]} rows
 */
export function writeResults(rows) {
  const path = join(ROOT, PAGE)
  writeFileSync(path, withResults(readFileSync(path, 'utf8'), rows))
}

/**
 * Puts a text into the page on disk, between `<!-- name -->` and `<!-- end of name -->`.
 *
 * @param {string} name
 * @param {string} section
 */
export function writeSection(name, section) {
  writePageSection(PAGE, name, section)
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
      outcome(row, 'passed'),
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
    return line(cells)
  })
  return [
    '| transport | round | faults | outcome | sent | confirmed | handled | lost | phantom | duplicates, of at most | reordered | settled twice | slowest recovery |',
    '|---|---|---|---|---|---|---|---|---|---|---|---|---|',
    ...lines,
  ].join('\n')
}

/**
 * One table of all transports with a slow consumer.
 *
 * @param {readonly Row[]} rows
 */
export function slowConsumerTable(rows) {
  const lines = rows.map((row) =>
    line([
      row.transport,
      outcome(row, row.hit),
      count(row.sent),
      count(row.confirmed),
      count(row.handled),
      count(row.lost),
      count(row.duplicates),
      count(row.reordered),
    ]),
  )
  return [
    '| transport | while it was slow, and afterwards | sent | confirmed | handled | lost | duplicates | reordered |',
    '|---|---|---|---|---|---|---|---|',
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
      outcome(row, row.hit),
      count(row.sent),
      count(row.confirmed),
      count(row.handled),
      count(row.lost),
      row.duplicates === undefined ? '' : `${count(row.duplicates)} of ${count(row.duplicatesBound)}${note}`,
      count(row.reordered),
      count(row.settledTwice),
      row.recoveryMs === undefined ? '' : `${seconds(row.recoveryMs)} of ${seconds(row.recoveryBoundMs)}`,
    ]
    return line(cells)
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

/** @param {readonly string[]} cells */
function line(cells) {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

/**
 * @param {Row} row
 * @param {string} [passed] What is said of one that passed.
 */
function outcome(row, passed = '') {
  return row.outcome === 'passed' ? passed : `**${row.outcome}**: ${row.reason ?? ''}`
}

/** @param {number | undefined} number */
function count(number) {
  return number === undefined ? '' : number.toLocaleString('en')
}

/** @param {number | undefined} ms */
function seconds(ms) {
  return ms === undefined ? '' : `${(ms / 1_000).toFixed(1)} s`
}
