import type { ConsumerLoop } from '@streamswitch/core'

/** What all services share: the names that they know one another by. */
export const TOPICS = { prices: 'prices', reports: 'reports', payments: 'payments' } as const

/** A service that answers, once it takes requests. */
export interface RunningService {
  readonly loop: ConsumerLoop
  /** Settles when the service ends; rejects with what ended it. */
  readonly ended: Promise<void>
}

export interface PriceRequest {
  readonly article: string
}

export interface Price {
  readonly article: string
  readonly cents: number
}

export interface ReportRequest {
  readonly year: number
}

/** One month's part of a report. */
export interface ReportPart {
  readonly month: number
  readonly of: number
  readonly cents: number
}

export interface Payment {
  readonly card: string
  readonly cents: number
}

/** What an article costs: the same everywhere, so that whoever asked can check the answer. */
export function centsOf(article: string): number {
  return [...article].reduce((sum, character) => (sum * 31 + (character.codePointAt(0) ?? 0)) % 9_973, 7)
}

/** Parts of a report. */
export const MONTHS = 10

export function revenueOf(year: number, month: number): number {
  return (year * 37 + month * 101) % 10_007
}

/** Starts a loop and resolves when it takes requests. */
export async function running(loop: ConsumerLoop): Promise<RunningService> {
  await loop.init()
  return { loop, ended: loop.run() }
}
