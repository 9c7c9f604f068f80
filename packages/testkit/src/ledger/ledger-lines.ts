/**
 * One line of a ledger file: what one process did, and when. Times are those of the clock that all processes of a machine share
 * (`process.hrtime`), in microseconds.
 */
export type LedgerLine = LineOrigin &
  (
    | { readonly did: 'send'; readonly id: string; readonly key?: string }
    | {
        readonly did: 'confirmed' | 'refused'
        readonly id: string
        readonly code?: string
        /** The producer sent records again while this one was open: it may be one of them. */
        readonly resent?: boolean
      }
    | { readonly did: 'deduplicated'; readonly id: string }
    | {
        readonly did: 'start'
        readonly handling: number
        readonly id: string
        readonly key?: string
        readonly attempt: number
        /** Where the record is stored that the message came from; left out where the transport has no lasting positions. */
        readonly partition?: number
        readonly offset?: string
      }
    | {
        readonly did: 'succeeded' | 'failed' | 'settled' | 'unsettled'
        readonly handling: number
        readonly abandoned?: boolean
        readonly code?: string
      }
    | { readonly did: ProcessEvent; readonly pid?: number; readonly note?: string; readonly bytes?: number }
  )

/**
 * What happens to a process as a whole; `process` and `life` say to which, where another one writes it down. `revoked`,
 * `reconnecting`, `stalled` and `recovered` are events of its loop; `memory` tells in `bytes` what it holds after a garbage collection.
 */
export type ProcessEvent =
  | 'launched'
  | 'ready'
  | 'stopping'
  | 'stopped'
  | 'killed'
  | 'frozen'
  | 'resumed'
  | 'hurried'
  | 'failure'
  | 'revoked'
  | 'reconnecting'
  | 'stalled'
  | 'recovered'
  | 'memory'

interface LineOrigin {
  /** The name of the process, the same after a restart. */
  readonly process: string
  /** Tells the lives of a process apart: its id. */
  readonly life: number
  /** In microseconds. */
  readonly at: number
}

/** What a writer is given: it adds where a line comes from and when. */
export type LedgerEntry = LedgerLine extends infer Line
  ? Line extends LedgerLine
    ? Omit<Line, keyof LineOrigin>
    : never
  : never

/** The time that ledgers are written in, in microseconds. */
export function ledgerTime(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}
