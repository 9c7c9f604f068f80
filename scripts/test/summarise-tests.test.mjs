import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { summariseTests } from '../summarise-tests.mjs'

const PASSING_FILE = { status: 'passed', assertionResults: [{ status: 'passed' }] }
const PASSING = {
  success: true,
  numPassedTests: 3,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [PASSING_FILE],
}

/** @param {...(object | undefined)} reports `undefined`: the suite left none. */
function summarise(...reports) {
  const folder = mkdtempSync(join(tmpdir(), 'streamswitch-summary-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const files = reports.map((report, index) => {
    const file = join(folder, `${index}.json`)
    if (report !== undefined) writeFileSync(file, JSON.stringify(report))
    return file
  })
  const { passed, text } = summariseTests(files)
  return { passed, lastLine: text.split('\n').at(-1) }
}

describe('sum of the test reports', () => {
  test('passing suites are added up', () => {
    expect(summarise(PASSING, PASSING)).toEqual({ passed: true, lastLine: '6 passed, 0 failed' })
  })

  test('skipped and to-do tests are named', () => {
    const skipping = { ...PASSING, numPendingTests: 1, numTodoTests: 1 }
    expect(summarise(skipping)).toEqual({ passed: true, lastLine: '3 passed, 0 failed, 2 skipped' })
  })

  test.each([
    [
      'a failed test',
      { numFailedTests: 1, testResults: [{ status: 'failed', assertionResults: [{ status: 'failed' }] }] },
    ],
    ['a file that could not be loaded', { testResults: [PASSING_FILE, { status: 'failed', assertionResults: [] }] }],
    ['an error outside of any test', {}],
  ])('%s is one failure', (_, change) => {
    const failing = { ...PASSING, success: false, ...change }
    expect(summarise(PASSING, failing)).toEqual({ passed: false, lastLine: '6 passed, 1 failed' })
  })

  test('a suite without a result is a failure', () => {
    expect(summarise(PASSING, undefined)).toEqual({ passed: false, lastLine: '3 passed, 1 failed' })
  })

  test('a suite that ran nothing is a failure', () => {
    expect(summarise({ ...PASSING, numPassedTests: 0, testResults: [] })).toEqual({
      passed: false,
      lastLine: '0 passed, 1 failed',
    })
  })
})
