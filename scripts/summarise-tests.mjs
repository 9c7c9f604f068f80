import { readFileSync } from 'node:fs'
import { relative } from 'node:path'
import { ROOT } from './workspace.mjs'

/**
 * @typedef {object} VitestReport What is read of vitest's JSON report.
 * @property {boolean} success
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ status: string, assertionResults: { status: string }[] }[]} testResults One per file.
 */

/**
 * Adds up vitest's reports. A file that couldn't be loaded, an error outside of any test, and a suite that left no
 * report or ran no test each count as one failure, since none of them may go unnoticed.
 *
 * @param {readonly string[]} files Where the reports should be.
 * @returns {{ passed: boolean, text: string }} `text`: a line per missing suite, then `N passed, N failed[, N
 *   skipped]`.
 */
export function summariseTests(files) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const notes = []
  for (const file of files) {
    const report = readReport(file)
    if (report === undefined || report.testResults.length === 0) {
      notes.push(`no result: ${relative(ROOT, file)}`)
      counts.failed += 1
      continue
    }
    counts.passed += report.numPassedTests
    counts.failed += failuresOf(report)
    counts.skipped += report.numPendingTests + report.numTodoTests
  }
  const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`
  notes.push(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
  return { passed: counts.failed === 0, text: notes.join('\n') }
}

/** @param {VitestReport} report */
function failuresOf(report) {
  const brokenFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  )
  const failures = report.numFailedTests + brokenFiles.length
  return failures === 0 && !report.success ? 1 : failures
}

/**
 * @param {string} file
 * @returns {VitestReport | undefined}
 */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}
