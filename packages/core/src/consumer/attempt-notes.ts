/** Content of a journal's entry for a message: see `AttemptJournal`. */
export interface AttemptHistory {
  /** Handler starts that count: those that failed, and those whose process ended while nothing else was running. */
  readonly priorAttempts: number
  /** It was recorded as running, and never as ended. */
  readonly wasAtWork: boolean
}

/** Encodes an entry as the number that a journal stores for a message. */
export function noteOf(attempts: number, atWork: boolean): number {
  return attempts * 2 + (atWork ? 1 : 0)
}

/** Decodes such a number; an empty history for none. */
export function historyOf(note: number): AttemptHistory {
  return { priorAttempts: Math.floor(note / 2), wasAtWork: note % 2 === 1 }
}
