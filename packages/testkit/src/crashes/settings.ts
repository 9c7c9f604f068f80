import type { AdapterDefinition } from '@streamswitch/core'

/** What the cases need to know of an adapter. */
export interface CrashSettings {
  /** The adapter: it must declare `attemptsSurviveRestart`. */
  readonly adapter: AdapterDefinition
  /** Module whose default export it is, for the worker processes: the `file:` URL of its built entry. */
  readonly module: string
  /** A function where the broker is started before the cases. */
  readonly url: string | (() => string)
  /** Transport options of the workers. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Options of the workers' loops that make the death of a member known soon: sessions, leases. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** Longest time until the work of a killed member goes on elsewhere, in milliseconds: what the cases wait for per death. Default 5,000. */
  readonly takeoverMs?: number
  /** A member whose event loop is blocked for this long has lost its partitions to another one, in milliseconds. */
  readonly blockMs: number
}

/** `STREAMSWITCH_CRASHES=long`: more messages and partitions, more attempts. What `npm test` runs is the short version. */
export const LONG = process.env['STREAMSWITCH_CRASHES'] === 'long'
