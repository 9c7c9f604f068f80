import { describe, expect, it } from 'vitest'
import { failureList, matrixOptions, readReport, unequalCounts, VERSIONS } from '../brokers-matrix.mjs'
import { CASES, casesPattern, casesPatternWithout } from '../newest-brokers-cases.mjs'
import { operatorOptions } from '../operator.mjs'

/** @param {string} title */
const asVitestSees = (title) => `redis conforms ${title.replaceAll(' > ', ' ').replaceAll('*', '4000')}`

describe('patterns of cases', () => {
  it('take each of the twenty cases, and no other', () => {
    const pattern = new RegExp(casesPattern())
    expect(new Set(CASES).size).toBe(20)
    for (const title of CASES) expect(asVitestSees(title)).toMatch(pattern)
    expect('redis conforms publish and subscribe bodies arrive byte for byte or not').not.toMatch(pattern)
    expect('redis conforms publish and subscribe odd keys arrive as they were sent').not.toMatch(pattern)
  })

  it('leave out what a setting contradicts', () => {
    const without = new RegExp(casesPatternWithout(['history > *']))
    expect('redis conforms history from an offset begins with that message').not.toMatch(without)
    expect('redis conforms groups two groups each get every message').toMatch(without)
    const twenty = new RegExp(casesPatternWithout(['history > *'], CASES))
    const left = CASES.filter((title) => twenty.test(asVitestSees(title)))
    expect(left).toHaveLength(CASES.length - CASES.filter((title) => title.startsWith('history > ')).length)
  })
})

describe('results by version', () => {
  /**
   * @param {string} version
   * @param {number} cases
   * @param {{ title: string, reason: string }[]} failures
   */
  const row = (version, cases, failures = []) => ({
    broker: 'redis',
    version,
    transport: 'redis',
    cases,
    passed: cases - failures.length,
    skipped: 0,
    seconds: 1,
    failures,
  })

  it('name an adapter that has not the same number of cases everywhere', () => {
    expect(unequalCounts([row('7.0.15', 20), row('8.6.3', 20)])).toEqual([])
    expect(unequalCounts([row('7.0.15', 20), row('8.6.3', 19)])).toEqual([
      'redis: 20 cases on redis 7.0.15, 19 cases on redis 8.6.3',
    ])
  })

  it('gather failures of one kind, whatever the names of their topics', () => {
    const failures = ['a', 'b', 'c', 'd', 'e'].map((title, index) => ({
      title,
      reason: `Error: waited 15000 ms for topic-${index}abcdef012345`,
    }))
    expect(failureList([row('8.6.3', 20, failures)])).toBe(
      '- redis 8.6.3, redis: Error: waited N ms for … (5: a; b; c; d and 1 more)',
    )
  })

  it('are read from the report of vitest, without the cases that did not run', () => {
    const report = {
      testResults: [
        {
          assertionResults: [
            { ancestorTitles: ['redis conforms', 'groups'], title: 'one', status: 'passed' },
            {
              ancestorTitles: ['redis conforms', 'groups'],
              title: 'two',
              status: 'failed',
              failureMessages: ['Error: broken\n    at x'],
            },
            { ancestorTitles: ['redis conforms'], title: 'three', status: 'skipped' },
          ],
        },
      ],
    }
    expect(readReport(JSON.stringify(report))).toEqual({
      cases: 2,
      passed: 1,
      skipped: 1,
      failures: [{ title: 'groups > two', reason: 'Error: broken' }],
    })
    expect(() => readReport('{"testResults":[{"message":"no such file","assertionResults":[]}]}')).toThrow(
      'no such file',
    )
  })
})

describe('command lines', () => {
  it('of the matrix: all versions unless some are named', () => {
    expect(matrixOptions([]).brokers).toEqual(VERSIONS)
    expect(matrixOptions(['--brokers', 'redis@7,kafka@4.4']).brokers).toEqual(['redis@7', 'kafka@4.4'])
    expect(() => matrixOptions(['--brokers', 'nats@2'])).toThrow(/nats@2 is none of redis/)
    expect(() => matrixOptions(['--subset', '--output'])).toThrow(/no result for the page/)
    expect(() => matrixOptions(['--broker', 'redis'])).toThrow(/usage: test:brokers-matrix/)
  })

  it('of the operator: all brokers and cases unless told otherwise', () => {
    expect(operatorOptions([])).toMatchObject({ brokers: ['redis', 'rabbitmq', 'kafka'], cases: 'all', output: false })
    expect(() => operatorOptions(['--cases', 'some'])).toThrow(/none of all, twenty, none/)
  })
})
