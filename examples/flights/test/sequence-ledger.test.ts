import { describe, expect, it } from 'vitest'
import { EMPTY_LEDGER, hasSeen, note, type SequenceLedger } from '../src/sequence-ledger.js'

function noteAll(sequences: readonly number[]): SequenceLedger {
  return sequences.reduce(note, EMPTY_LEDGER)
}

describe('sequence ledger', () => {
  it('remembers everything that came in order', () => {
    const ledger = noteAll([1, 2, 3])
    expect(ledger).toEqual({ contiguous: 3, ahead: [], outOfOrder: 0 })
    expect([1, 2, 3, 4].map((sequence) => hasSeen(ledger, sequence))).toEqual([true, true, true, false])
  })

  it('counts a gap as out of order and tells what is missing from what came', () => {
    const ledger = noteAll([1, 3])
    expect(ledger.outOfOrder).toBe(1)
    expect([1, 2, 3].map((sequence) => hasSeen(ledger, sequence))).toEqual([true, false, true])
  })

  it('counts a late arrival as out of order, also when it closes the gap', () => {
    expect(noteAll([1, 3, 4, 2])).toEqual({ contiguous: 4, ahead: [], outOfOrder: 3 })
  })
})
