import { describe, expect, it } from 'vitest'
import { assignInTurn, assignRanges } from '../src/assigners.js'

describe('assignRanges', () => {
  it('gives contiguous ranges, one more to the first members, whatever order they come in', () => {
    const assignment = assignRanges(new Map([['t', ['c', 'a', 'b']]]), new Map([['t', 8]]))
    expect(Object.fromEntries(assignment)).toEqual({ a: { t: [0, 1, 2] }, b: { t: [3, 4, 5] }, c: { t: [6, 7] } })
  })

  it('gives each topic to those who subscribe to it', () => {
    const subscribers = new Map([
      ['orders', ['a', 'b']],
      ['bills', ['b', 'c']],
    ])
    const partitions = new Map([
      ['orders', 2],
      ['bills', 3],
    ])
    expect(Object.fromEntries(assignRanges(subscribers, partitions))).toEqual({
      a: { orders: [0] },
      b: { orders: [1], bills: [0, 1] },
      c: { bills: [2] },
    })
  })

  it('gives nothing of a topic with fewer partitions than members, or with none', () => {
    const subscribers = new Map([
      ['small', ['a', 'b', 'c']],
      ['gone', ['a']],
    ])
    expect(Object.fromEntries(assignRanges(subscribers, new Map([['small', 2]])))).toEqual({
      a: { small: [0] },
      b: { small: [1] },
      c: {},
    })
  })
})

describe('assignInTurn', () => {
  it('gives the partitions of all topics to the members in turn, by name', () => {
    const subscribers = new Map([
      ['orders', ['b', 'a']],
      ['bills', ['a', 'b']],
    ])
    const partitions = new Map([
      ['orders', 2],
      ['bills', 3],
    ])
    expect(Object.fromEntries(assignInTurn(subscribers, partitions))).toEqual({
      a: { bills: [0, 2], orders: [1] },
      b: { bills: [1], orders: [0] },
    })
  })

  it('passes over members that do not subscribe to a topic, and topics without partitions', () => {
    const subscribers = new Map([
      ['orders', ['a', 'b']],
      ['bills', ['b']],
      ['gone', ['a']],
    ])
    const partitions = new Map([
      ['orders', 2],
      ['bills', 2],
    ])
    expect(Object.fromEntries(assignInTurn(subscribers, partitions))).toEqual({
      a: { orders: [0] },
      b: { bills: [0, 1], orders: [1] },
    })
  })
})
