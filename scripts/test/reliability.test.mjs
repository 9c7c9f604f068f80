import { expect, test } from 'vitest'
import { resultTables, slowConsumerTable, soakTable, withResults } from '../reliability-page.mjs'
import { slowConsumerOptions } from '../slow-consumer.mjs'
import { soakOptions } from '../soak.mjs'

const row = {
  transport: 'redis',
  item: 18,
  fault: 'connections cut',
  outcome: /** @type {const} */ ('passed'),
  hit: '8 connections, 150 sends under way',
  sent: 2_000,
  confirmed: 2_000,
  handled: 2_000,
  lost: 0,
  duplicates: 15,
  duplicatesBound: 1_400,
  duplicatesFormula: '1 x (4 producers x window 50)',
  reordered: 0,
  settledTwice: 0,
  recoveryMs: 2_187,
  recoveryBoundMs: 5_000,
}

test('a table for each transport, with the bounds and their reasons', () => {
  const text = resultTables([row, { ...row, fault: 'connections closed' }, { ...row, transport: 'amqp' }])
  expect(text.match(/^### .*$/gm)).toEqual(['### amqp', '### redis'])
  expect(text).toContain(
    '| 18 | connections cut | 8 connections, 150 sends under way | 2,000 | 2,000 | 2,000 | 0 | 15 of 1,400 (1) | 0 | 0 | 2.2 s of 5.0 s |',
  )
  expect(text.match(/^1\. 1 x \(4 producers x window 50\)$/gm)).toHaveLength(2)
})

test('a case that was not run says so, and why', () => {
  const { transport, item, fault } = row
  const text = resultTables([{ transport, item, fault, outcome: 'not run', reason: 'the broker is not ours' }])
  expect(text).toContain('| **not run**: the broker is not ours |')
})

test('a soak run has one table, a line for each round', () => {
  const text = soakTable([
    { ...row, item: 1, hit: '3 server killed', phantom: 0 },
    { ...row, item: 2, outcome: 'failed', reason: 'lost' },
  ])
  expect(text).toContain(
    '| redis | 1 | 3 server killed | passed | 2,000 | 2,000 | 2,000 | 0 | 0 | 15 of 1,400 | 0 | 0 | 2.2 s |',
  )
  expect(text).toContain('| **failed**: lost |')
})

test('what a soak run is asked for is checked, all problems together', () => {
  expect(soakOptions(['--minutes', '5', '--seed', '7', '--transports', 'redis,amqp', '--output'])).toEqual({
    minutes: 5,
    seed: 7,
    transports: ['redis', 'amqp'],
    parallel: 1,
    output: true,
  })
  expect(soakOptions(['--parallel', '3'])).toMatchObject({ minutes: 30, transports: [], parallel: 3, output: false })
  expect(() => soakOptions(['--minutes', '0', '--seed', 'x', '--parallel', '0'])).toThrow(
    /--minutes .*'0'.*--parallel .*'0'.*--seed .*'x'/,
  )
  expect(() => soakOptions(['--hours', '1'])).toThrow(/usage: soak/)
})

test('a run with a slow consumer has one table, a line for each transport', () => {
  const text = slowConsumerTable([
    { ...row, hit: '600 of 66,000 handled in 300 s' },
    { ...row, transport: 'kafka', outcome: 'failed', reason: 'memory' },
  ])
  expect(text).toContain('| redis | 600 of 66,000 handled in 300 s | 2,000 | 2,000 | 2,000 | 0 | 15 | 0 |')
  expect(text).toContain('| kafka | **failed**: memory |')
})

test('a run with a slow consumer takes the transports that have a broker', () => {
  const transports = ['amqp', 'kafka', 'rabbitmq-stream', 'redis']
  expect(slowConsumerOptions([])).toEqual({ minutes: 5, transports, parallel: 1, output: false })
  expect(slowConsumerOptions(['--minutes', '0.5', '--transports', 'redis', '--parallel', '4', '--output'])).toEqual({
    minutes: 0.5,
    transports: ['redis'],
    parallel: 4,
    output: true,
  })
  expect(() => slowConsumerOptions(['--minutes', 'x', '--parallel', '0', '--transports', 'http,kafka'])).toThrow(
    /--minutes .*'x'.*--parallel .*'0'.*http is none of/,
  )
  expect(() => slowConsumerOptions(['--seed', '1'])).toThrow(/usage: slow-consumer/)
})

test('a new run of one transport leaves what the page says of the others', () => {
  const empty = 'Before.\n\n<!-- results -->\n<!-- end of results -->\nAfter.\n'
  const other = { ...row, transport: 'amqp', duplicates: 7 }
  const both = withResults(empty, [row, other])
  const results = resultTables([row, other])
  expect(both).toBe(`Before.\n\n<!-- results -->\n\n${results}\n\n<!-- end of results -->\nAfter.\n`)
  expect(withResults(both, [{ ...row, duplicates: 16 }])).toBe(both.replace('15 of 1,400', '16 of 1,400'))
})

test('a page without a place for results is refused', () => {
  expect(() => withResults('# Reliability', [row])).toThrow('docs/reliability.md must have <!-- results -->')
})
