import type { Outcome } from './outcome.js'
import { notedCount } from './statistics.js'

const SHOWN_AIRPORTS = 10

/** The result of a run as text: the airports with the most departures, what had to be repeated, and the checksum. */
export function report(outcome: Outcome): string {
  const { counts, transport, seconds } = outcome
  const failures = counts.delays.injectedFailures + counts.audit.injectedFailures
  const repeated = counts.delays.repeated + counts.audit.repeated + counts.alerts.repeated
  const disorder = counts.delays.outOfOrder + counts.audit.outOfOrder + counts.alerts.outOfOrder
  return [
    ...airportTable(outcome),
    '',
    `${counts.delays.records} departures of ${outcome.books.delays.size} airports on ${transport} in ${seconds.toFixed(1)} s, ${counts.alerts.records} alerts`,
    `injected failures ${failures}, repeated and skipped ${repeated}, out of order ${disorder}, of the wrong shape ${counts.audit.invalid}`,
    `checksum ${outcome.checksum}${outcome.isCorrect ? ', as expected' : `: WRONG, ${outcome.expected} with nothing out of order is right`}`,
  ].join('\n')
}

function airportTable({ books }: Outcome): string[] {
  const rows = [...books.delays]
    .map(([airport, state]) => ({
      airport,
      flights: notedCount(state),
      delayMinutes: state.delayMinutes,
      alerts: books.alerts.get(airport),
    }))
    .toSorted((left, right) => right.flights - left.flights || left.airport.localeCompare(right.airport))
    .slice(0, SHOWN_AIRPORTS)
    .map(({ airport, flights, delayMinutes, alerts }) => [
      airport,
      String(flights),
      (delayMinutes / flights).toFixed(1),
      String(alerts === undefined ? 0 : notedCount(alerts)),
    ])
  const header = ['airport', 'flights', 'mean delay (min)', 'alerts']
  const widths = header.map((title) => title.length)
  return [header, ...rows].map((row) => row.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  '))
}
