import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { summariseTests } from '../summarise-tests.mjs'
import { ROOT } from '../workspace.mjs'

const PASSING_FILE = {
  name: join(ROOT, 'a.test.ts'),
  status: 'passed',
  message: '',
  assertionResults: [{ status: 'passed' }],
}
const FAILED_TEST = { status: 'failed', fullName: 'sum adds', failureMessages: ['Error: expected 2\n  at line 1'] }
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
  return { passed, lastLine: text.split('\n').at(-1), lines: text.split('\n') }
}

describe('sum of the test reports', () => {
  test('passing suites are added up', () => {
    expect(summarise(PASSING, PASSING)).toMatchObject({ passed: true, lastLine: '6 passed, 0 failed' })
  })

  test('skipped and to-do tests are named', () => {
    const skipping = { ...PASSING, numPendingTests: 1, numTodoTests: 1 }
    expect(summarise(skipping)).toMatchObject({ passed: true, lastLine: '3 passed, 0 failed, 2 skipped' })
  })

  test.each([
    [
      'a failed test',
      { numFailedTests: 1, testResults: [{ ...PASSING_FILE, status: 'failed', assertionResults: [FAILED_TEST] }] },
    ],
    [
      'a file that could not be loaded',
      { testResults: [PASSING_FILE, { ...PASSING_FILE, status: 'failed', assertionResults: [] }] },
    ],
    ['an error outside of any test', {}],
  ])('%s is one failure', (_, change) => {
    const failing = { ...PASSING, success: false, ...change }
    expect(summarise(PASSING, failing)).toMatchObject({ passed: false, lastLine: '6 passed, 1 failed' })
  })

  test('what failed is named above the sum, with the first line of the reason', () => {
    const broken = { name: join(ROOT, 'b.test.ts'), status: 'failed', message: 'SyntaxError: x', assertionResults: [] }
    const failing = { ...PASSING_FILE, status: 'failed', assertionResults: [FAILED_TEST] }
    const report = { ...PASSING, success: false, numFailedTests: 1, testResults: [failing, broken] }
    expect(summarise(report, undefined).lines).toEqual([
      'failed: a.test.ts: sum adds: Error: expected 2',
      'failed: b.test.ts: SyntaxError: x',
      expect.stringMatching(/^failed: .*: no result$/),
      '3 passed, 3 failed',
    ])
  })

  test('a suite without a result is a failure', () => {
    expect(summarise(PASSING, undefined)).toMatchObject({ passed: false, lastLine: '3 passed, 1 failed' })
  })

  test('a suite that ran nothing is a failure', () => {
    expect(summarise({ ...PASSING, numPassedTests: 0, testResults: [] })).toMatchObject({
      passed: false,
      lastLine: '0 passed, 1 failed',
    })
  })
})
