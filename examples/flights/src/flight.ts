/** A departure as the data set has it. */
export interface Flight {
  /** Local time of departure: `2001/01/01 00:47`. */
  readonly date: string
  /** Minutes; negative when the flight was early. */
  readonly delay: number
  /** Miles. */
  readonly distance: number
  readonly origin: string
  readonly destination: string
}

/** A flight as it is published: with its place among the departures of its airport, by which repetitions and reorders are told. */
export interface Departure extends Flight {
  /** Counts the departures of `origin`, from 1. */
  readonly sequence: number
}

/** An airport's moving average has passed the threshold. */
export interface Alert {
  readonly airport: string
  /** Counts the alerts of the airport, from 1. */
  readonly sequence: number
  /** The departure that made the average pass. */
  readonly departure: number
  readonly averageMinutes: number
}

const DATE = /^\d{4}\/\d\d\/\d\d \d\d:\d\d$/
const AIRPORT = /^[A-Z]{3}$/

/** What is wrong with a record that claims to be a departure; empty when nothing is. */
export function departureProblems(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return ['is no object']
  const { date, delay, distance, origin, destination, sequence } = value as Readonly<Record<string, unknown>>
  const problems: string[] = []
  if (typeof date !== 'string' || !DATE.test(date)) problems.push('date is no date')
  if (!Number.isInteger(delay)) problems.push('delay is no whole number')
  if (typeof distance !== 'number' || distance < 0) problems.push('distance is no distance')
  if (typeof origin !== 'string' || !AIRPORT.test(origin)) problems.push('origin is no airport')
  if (typeof destination !== 'string' || !AIRPORT.test(destination)) problems.push('destination is no airport')
  if (!Number.isInteger(sequence) || Number(sequence) < 1) problems.push('sequence is no count')
  return problems
}
