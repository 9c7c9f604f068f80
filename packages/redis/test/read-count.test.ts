import { expect, test } from 'vitest'
import { ReadCount } from '../src/read-count.js'

/** What the guard replies: entries ever added, entries left, first and last id, and of the group its count and last entry. */
const state = (added: number, left: number, first: string, group: readonly [read: string, at: string] = ['', '']) =>
  ['ok', added, left, first, '9-0', ...group] as const

const ids = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, index) => `1-${from + index}`)

/** A group that has read entries 1 to 10 of 20, none of which is gone. */
function tenRead(): ReadCount {
  const count = new ReadCount()
  expect(count.note(state(20, 20, '1-1', ['0', '0-0']), ids(1, 11), 10)).toBeUndefined()
  expect([count.read, count.last]).toEqual([10, '1-10'])
  return count
}

test('entries that were read and removed are no gap', () => {
  const count = tenRead()
  expect(count.note(state(20, 10, '1-11'), ids(11, 16), 5)).toBeUndefined()
  expect(count.read).toBe(15)
})

test('entries that were removed unread are counted, once', () => {
  const count = tenRead()
  const gap = { after: '1-10', first: '1-18', last: '9-0', count: 7, read: 10 }
  expect(count.note(state(20, 3, '1-18'), ids(18, 20), 2)).toEqual(gap)
  expect(count.read).toBe(19)
  expect(count.note(state(20, 1, '1-20'), ids(20, 21), 5)).toBeUndefined()
  expect(count.read).toBe(20)
})

test('so are all that were left', () => {
  const count = tenRead()
  expect(count.note(state(20, 0, ''), [], 5)).toMatchObject({ after: '1-10', first: undefined, count: 10 })
  expect(count.note(state(21, 1, '1-21'), ids(21, 22), 5)).toBeUndefined()
})

test("a group whose own count isn't known is taken to be where the stream begins, or where it ends", () => {
  const count = new ReadCount()
  expect(count.note(state(20, 5, '1-16', ['', '1-4']), ids(16, 18), 2), 'nobody knows what it had').toBeUndefined()
  expect(count.read).toBe(17)
  const other = new ReadCount()
  expect(other.note(state(20, 20, '1-1', ['', '1-4']), ids(5, 7), 2)).toBeUndefined()
  expect(other.read).toBeUndefined()
  expect(other.note(state(20, 20, '1-1'), ids(7, 21), 50)).toBeUndefined()
  expect(other.read).toBe(20)
})

test('a server that does not count tells of no gap', () => {
  const count = new ReadCount()
  expect(count.note('ok', ids(1, 3), 2)).toBeUndefined()
  expect(count.note(['ok', '', 5, '1-9', '9-0', '', ''], ids(9, 11), 2)).toBeUndefined()
  expect(count.last).toBe('1-10')
})
