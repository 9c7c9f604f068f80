/**
 * Which numbers of a sequence (1, 2, 3, …) have been seen: everything up to `contiguous`, and the few in `ahead`. In order,
 * `ahead` stays empty. Every number is remembered, so that one that comes late is told from one that comes again.
 */
export interface SequenceLedger {
  readonly contiguous: number
  readonly ahead: readonly number[]
  /** How often a number came that was new but not the next one. */
  readonly outOfOrder: number
}

export const EMPTY_LEDGER: SequenceLedger = { contiguous: 0, ahead: [], outOfOrder: 0 }

/** True for a number that was noted before: a redelivery, to be skipped. */
export function hasSeen(ledger: SequenceLedger, sequence: number): boolean {
  return sequence <= ledger.contiguous || ledger.ahead.includes(sequence)
}

/** The ledger with a new number noted. A number that leaves a gap, or fills one later, counts as out of order. */
export function note(ledger: SequenceLedger, sequence: number): SequenceLedger {
  if (sequence === ledger.contiguous + 1 && ledger.ahead.length === 0) return { ...ledger, contiguous: sequence }
  const ahead = new Set([...ledger.ahead, sequence])
  let { contiguous } = ledger
  while (ahead.delete(contiguous + 1)) contiguous += 1
  return { contiguous, ahead: [...ahead], outOfOrder: ledger.outOfOrder + 1 }
}
