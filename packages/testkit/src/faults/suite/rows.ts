import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Result of one fault for one transport. Counts are of messages. */
export interface FaultRow {
  readonly transport: string
  /** Number of the tested item. */
  readonly item: number
  readonly fault: string
  readonly outcome: 'passed' | 'failed' | 'not run'
  /** Why it did not pass. */
  readonly reason?: string
  /** Evidence that the fault hit. */
  readonly hit?: string
  readonly sent?: number
  readonly confirmed?: number
  readonly handled?: number
  readonly lost?: number
  readonly phantom?: number
  readonly duplicates?: number
  readonly duplicatesBound?: number
  readonly duplicatesFormula?: string
  readonly reordered?: number
  readonly settledTwice?: number
  readonly recoveryMs?: number
  readonly recoveryBoundMs?: number
}

/**
 * Writes the results to `STREAMSWITCH_RELIABILITY_RESULTS`, else `test-results/reliability` in the working directory.
 */
export function writeRows(transport: string, rows: readonly FaultRow[]): void {
  const folder = process.env['STREAMSWITCH_RELIABILITY_RESULTS'] ?? join('test-results', 'reliability')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, `${transport}.json`), `${JSON.stringify(rows, undefined, 2)}\n`)
}
