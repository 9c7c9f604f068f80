/** What the process of a caller is told: JSON, in the variable {@link CALLER_VARIABLE}. */
export interface CallerSpec {
  /** Module whose default export is the adapter. */
  readonly adapter: string
  readonly url: string
  readonly options: Readonly<Record<string, unknown>>
  readonly topic: string
  readonly requests: number
}

/** The environment variable that holds a caller's spec. */
export const CALLER_VARIABLE = 'STREAMSWITCH_CALLER'
