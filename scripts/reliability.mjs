import { basename } from 'node:path'
import { PAGE, writeResults } from './reliability-page.mjs'
import { ScriptFailure } from './run.mjs'
import { runSuites, suiteFolders } from './suite-runs.mjs'

/** @typedef {import('./reliability-page.mjs').Row} Row */

/**
 * Runs the fault suites of all packages that have one, or of those named by folder, one after the other, and writes what they
 * found into `docs/reliability.md`; what the page says of the others stays. Rejects when a case failed or was not run; the page is
 * written all the same.
 *
 * @param {readonly string[]} names
 */
export async function runReliability(names) {
  const chosen = suiteFolders(names)
  const found = await runSuites(chosen, { name: 'reliability', parallel: 1, environment: {} })
  const silent = chosen.filter((folder) => !found.rows.some(({ transport }) => transport === basename(folder)))
  const rows = [...found.rows, ...silent.map(unknownRow)]
  writeResults(rows)
  process.stdout.write(`\n${PAGE} has ${rows.length} new rows\n`)
  if (found.failed) throw new ScriptFailure('')
}

/**
 * A suite that ended before it wrote anything must not leave the page as it was.
 *
 * @param {string} folder
 * @returns {Row}
 */
function unknownRow(folder) {
  const reason = 'the suite ended without results'
  return { transport: basename(folder), item: 0, fault: 'all', outcome: 'not run', reason }
}
