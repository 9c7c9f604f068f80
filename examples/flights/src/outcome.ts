import { type Books, checksum, expectedBooks } from './checksum.js'
import { readDepartures } from './flight-data.js'
import type { CountsByService } from './run-monitor.js'

/** The result of a run. */
export interface Outcome {
  readonly transport: string
  readonly seconds: number
  readonly books: Books
  readonly counts: CountsByService
  readonly checksum: string
  /** The checksum of the same departures, handled once and in order. */
  readonly expected: string
  /** Equal checksums, and no record of the wrong shape or out of order. */
  readonly isCorrect: boolean
}

/** Judges what the services have written down. */
export function judge(run: {
  transport: string
  flights: number
  startedMs: number
  books: Books
  counts: CountsByService
}): Outcome {
  const { transport, books, counts } = run
  const seconds = (performance.now() - run.startedMs) / 1000
  const expected = checksum(expectedBooks(readDepartures(run.flights)))
  const got = checksum(books)
  const disorder = counts.delays.outOfOrder + counts.audit.outOfOrder + counts.alerts.outOfOrder
  return {
    transport,
    seconds,
    books,
    counts,
    checksum: got,
    expected,
    isCorrect: got === expected && disorder === 0 && counts.audit.invalid === 0,
  }
}
