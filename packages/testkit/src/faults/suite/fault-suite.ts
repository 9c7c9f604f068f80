import { afterAll, beforeAll, expect, test } from 'vitest'
import { CONCURRENCY, FaultBench, HANDLER_MS, PREFETCH } from './fault-bench.js'
import { type FaultRow, writeRows } from './rows.js'
import type { FaultSettings, FaultStand } from './settings.js'

/** What a case reports of its fault; the ledger says the rest. */
export interface FaultFinding {
  /** What shows that it hit: `412 sends unconfirmed, 96 records resent`. */
  readonly hit: string
  readonly duplicatesBound: number
  readonly duplicatesFormula: string
  /** Confirmed messages that the fault itself has removed: they need not be handled. */
  readonly gone?: ReadonlySet<string>
  /** Left out where nothing recovers. */
  readonly recoveryMs?: number
  readonly recoveryBoundMs?: number
}

const LOG_LINES_SHOWN = 15

/** Declares cases, runs each at a bench of its own, judges the ledger, and keeps a row of results for each. */
export class FaultSuite {
  readonly settings: FaultSettings
  readonly #rows: FaultRow[] = []
  #stand: FaultStand | string = 'the stand has not been started'

  constructor(settings: FaultSettings) {
    this.settings = settings
  }

  /** Declares that the stand is started before the cases, and that rows are written behind them. */
  around(): void {
    beforeAll(async () => {
      this.#stand = await this.settings.stand().catch((error: unknown) => String(error))
    }, 120_000)
    afterAll(async () => {
      writeRows(this.settings.adapter.name, this.#rows)
      if (typeof this.#stand !== 'string') await this.#stand[Symbol.asyncDispose]()
    }, 60_000)
  }

  /** Declares a test at the stand without a fault and without a row. */
  check(title: string, timeoutMs: number, body: (stand: FaultStand) => Promise<void>): void {
    test(title, { timeout: timeoutMs }, async () => {
      if (typeof this.#stand === 'string') throw new Error(`not run: ${this.#stand}`)
      await body(this.#stand)
    })
  }

  /**
   * Declares one case. When its body is through, the whole ledger is judged: nothing lost, nothing out of order, no phantom,
   * nothing settled twice, duplicates and recovery within their bounds. `changes`: settings that are others in this case.
   */
  fault(
    item: number,
    fault: string,
    timeoutMs: number,
    body: (bench: FaultBench) => Promise<FaultFinding>,
    changes: Partial<FaultSettings> = {},
  ): void {
    test(`${item}: ${fault}`, { timeout: timeoutMs }, async () => {
      const row = { transport: this.settings.adapter.name, item, fault }
      if (typeof this.#stand === 'string') {
        this.#rows.push({ ...row, outcome: 'not run', reason: this.#stand })
        throw new Error(`not run: ${this.#stand}`)
      }
      const bench = new FaultBench({ ...this.settings, ...changes }, this.#stand)
      let measured: Partial<FaultRow> = {}
      let failed = true
      try {
        const finding = await body(bench)
        const { gone, ...shown } = finding
        measured = { ...shown, ...count(bench, gone) }
        judge(bench, finding)
        this.#rows.push({ ...row, ...measured, outcome: 'passed' })
        failed = false
      } catch (error) {
        this.#rows.push({ ...row, ...measured, outcome: 'failed', reason: firstLine(error) })
        throw withLog(error, bench)
      } finally {
        await bench.close(failed)
        // A case that failed half-way leaves the next one a broker all the same.
        await this.#stand.broker?.start()
      }
    })
  }
}

function count(bench: FaultBench, gone: ReadonlySet<string> | undefined): Partial<FaultRow> {
  const { lost, phantom, duplicated, reordered, settledTwice } = bench.reader.refresh().verdict(gone)
  return {
    ...bench.reader.counts,
    lost: lost.length,
    phantom: phantom.length,
    duplicates: duplicated.length,
    reordered: reordered.length,
    settledTwice: settledTwice.length,
  }
}

function judge(bench: FaultBench, finding: FaultFinding): void {
  const verdict = bench.reader.verdict(finding.gone)
  expect(verdict).toMatchObject({ lost: [], phantom: [], reordered: [], overlapping: [], settledTwice: [] })
  expect(verdict.duplicated.length, `duplicates, at most ${finding.duplicatesFormula}`).toBeLessThanOrEqual(
    finding.duplicatesBound,
  )
  if (finding.recoveryMs !== undefined)
    expect(finding.recoveryMs, 'recovery in ms').toBeLessThanOrEqual(finding.recoveryBoundMs ?? 0)
}

/** What a bound on duplicates is made of, besides the settings of the suite. */
export interface DuplicateCauses {
  readonly faults: number
  /** Left out: senders aren't hit. */
  readonly producers?: number
  readonly window?: number
  /** Default: that of the suite. */
  readonly handlerMs?: number
}

/** How many duplicates faults may cause, and why: what had no confirmation is sent again, what had no ack is handled again. */
export function duplicatesBound(
  bench: FaultBench,
  { faults, producers = 0, window = 0, handlerMs = HANDLER_MS }: DuplicateCauses,
): Pick<FaultFinding, 'duplicatesBound' | 'duplicatesFormula'> {
  const { ackIntervalMs, unackedPerPartition = PREFETCH } = bench.settings
  const { partitions, memberCount } = bench
  const perInterval = Math.ceil(ackIntervalMs / handlerMs) * memberCount * CONCURRENCY
  const terms = [
    ...(producers === 0 ? [] : [`${producers} producers x window ${window}`]),
    `${partitions} partitions x prefetch ${unackedPerPartition}`,
    ...(perInterval === 0
      ? []
      : [`${memberCount} members x ${CONCURRENCY} handlers x ${ackIntervalMs} ms between acks / ${handlerMs} ms`]),
  ]
  const each = producers * window + partitions * unackedPerPartition + perInterval
  return { duplicatesBound: faults * each, duplicatesFormula: `${faults} x (${terms.join(' + ')})` }
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0]?.slice(0, 200) ?? ''
}

function withLog(error: unknown, { reader, log }: FaultBench): unknown {
  if (!(error instanceof Error)) return error
  error.message += `\n  the ledger is kept in ${reader.folder}`
  if (log.length > 0) error.message += `\n  last log lines:\n    ${log.slice(-LOG_LINES_SHOWN).join('\n    ')}`
  return error
}
