import { expect, test } from 'vitest'
import { compareIds, millisecondsOf, startId } from '../src/position.js'

test('ids compare as numbers', () => {
  const ids = ['10-0', '9-1', '9-10', '9-9', '18446744073709551615-18446744073709551615', '0-1']
  expect(ids.sort(compareIds)).toEqual([
    '0-1',
    '9-1',
    '9-9',
    '9-10',
    '10-0',
    '18446744073709551615-18446744073709551615',
  ])
  expect(compareIds('5-5', '5-5')).toBe(0)
  expect(millisecondsOf('1700000000123-7')).toBe(1_700_000_000_123)
})

test('a start is the id of the last entry that is not wanted', () => {
  expect(startId(undefined)).toBe('0-0')
  expect(startId('earliest')).toBe('0-0')
  expect(startId('latest')).toBe('$')
  expect(startId({ timestamp: 0 })).toBe('0-0')
  expect(startId({ timestamp: 1000 })).toBe('999-18446744073709551615')
  expect(startId({ offset: '1000-5' })).toBe('1000-4')
  expect(startId({ offset: '1000-0' })).toBe('999-18446744073709551615')
  expect(startId({ offset: '1000' })).toBe('999-18446744073709551615')
  expect(startId({ offset: '0-0' })).toBe('0-0')
})

test.each(['', 'x', '1-2-3', '-1', '18446744073709551616', '1-18446744073709551616'])("'%s' is no offset", (offset) => {
  expect(() => startId({ offset })).toThrowError(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
})
