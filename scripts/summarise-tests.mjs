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
 * @property {ReportedFile[]} testResults One per file.
 */

/**
 * @typedef {object} ReportedFile
 * @property {string} name Its path.
 * @property {string} status
 * @property {string} message What went wrong outside of any test.
 * @property {{ status: string, fullName: string, failureMessages: string[] }[]} assertionResults
 */

/**
 * Adds up vitest's reports. A file that couldn't be loaded, an error outside of any test, and a suite that left no
 * report or ran no test each count as one failure, since none of them may go unnoticed.
 *
 * @param {readonly string[]} files Where the reports should be.
 * @returns {{ passed: boolean, text: string }} `text`: a line per failed test and missing suite, then `N passed, N failed[, N
 *   skipped]`.
 */
export function summariseTests(files) {
  const counts = { passed: 0, failed: 0, skipped: 0 }
  const notes = []
  for (const file of files) {
    const report = readReport(file)
    if (report === undefined || report.testResults.length === 0) {
      notes.push(`failed: ${relative(ROOT, file)}: no result`)
      counts.failed += 1
      continue
    }
    notes.push(...report.testResults.flatMap(failuresNamed))
    counts.passed += report.numPassedTests
    counts.failed += failuresOf(report)
    counts.skipped += report.numPendingTests + report.numTodoTests
  }
  const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`
  notes.push(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
  return { passed: counts.failed === 0, text: notes.join('\n') }
}

/**
 * A line per failed test, since they stand thousands of lines above the sum.
 *
 * @param {ReportedFile} file
 */
function failuresNamed(file) {
  const where = relative(ROOT, file.name)
  const failed = file.assertionResults.filter(({ status }) => status === 'failed')
  if (failed.length === 0 && file.status === 'failed') return [`failed: ${where}: ${firstLine(file.message)}`]
  return failed.map(
    ({ fullName, failureMessages }) => `failed: ${where}: ${fullName}: ${firstLine(failureMessages[0])}`,
  )
}

/** @param {string | undefined} message */
function firstLine(message) {
  return (message ?? '').split('\n', 1)[0]?.slice(0, 300) ?? ''
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
