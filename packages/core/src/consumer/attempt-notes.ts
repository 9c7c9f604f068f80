/** What a journal's note of a message says: see `AttemptJournal`. */
export interface AttemptHistory {
  /** Handler starts that count: those that failed, and those that ended their process while nothing else was at work. */
  readonly priorAttempts: number
  /** It was noted as being at work, and never as having ended. */
  readonly wasAtWork: boolean
}

/** The number that a journal keeps for a message. */
export function noteOf(attempts: number, atWork: boolean): number {
  return attempts * 2 + (atWork ? 1 : 0)
}

/** What such a number says; 0 where there is none. */
export function historyOf(note: number): AttemptHistory {
  return { priorAttempts: Math.floor(note / 2), wasAtWork: note % 2 === 1 }
}
