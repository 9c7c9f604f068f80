/** Settings of the scenario for an adapter. */
export interface EffectivelyOnceSettings {
  /** For the title: the adapter's name. */
  readonly name: string
  /** The `file:` URL, or the name, of the module whose default export is the adapter: child processes import it. */
  readonly adapter: string
  readonly url: string
  /** Options of every transport, as in `openTransport(url, { options })`: short leases and sessions save time. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Options of every loop, with the adapter's own under its name; JSON only. */
  readonly consumer?: Readonly<Record<string, unknown>>
  /** The transport declares `replay`: a group that joins last reads everything. Default true. */
  readonly replay?: boolean
  /** Partitions of the topic; default 6. */
  readonly partitions?: number
  /**
   * Maximum time for any one step, in milliseconds; default 60,000. At least twice the time after which a dead member
   * is given up.
   */
  readonly stepMs?: number
}
