/** What the random schedules of every protocol must contain. */
export const COMMON_EVENTS = [
  'join',
  'leave',
  'kill',
  'freeze',
  'slow call',
  'cut connection',
  'lost request',
  'lost reply',
  'reordered replies',
  'broker restart',
] as const

/** A promise that a simulation judges. */
export type JudgedPromise =
  /** At most one owner acts per partition and epoch. */
  | 'one owner'
  /** Epochs rise. */
  | 'epochs rise'
  /** A late save is refused, or found and overwritten where it can't be refused. */
  | 'late saves'
  /** Once things are quiet all partitions have owners, and everything is handled, within a bound. */
  | 'at rest in time'
  /** No committed offset goes back, or skips what was never handled. */
  | 'nothing skipped'
  /** Messages of a key are handled in order, one at a time. */
  | 'order'
  /** A member is the only one that handles an entry, as long as it lives. */
  | 'claims of the dead only'

/** How often each kind of event happened, and how often each promise was judged. */
export class Tally {
  readonly happened: Record<string, number> = {}
  readonly judged: Record<string, number> = {}

  count(event: string): void {
    this.happened[event] = (this.happened[event] ?? 0) + 1
  }

  judge(promise: JudgedPromise): void {
    this.judged[promise] = (this.judged[promise] ?? 0) + 1
  }
}

/** Adds counts of one run to those of others. */
export function addCounts(sums: Record<string, number>, counts: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count
}
