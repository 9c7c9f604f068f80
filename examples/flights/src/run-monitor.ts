import type { ServiceCounts } from './service.js'
import { newCounts } from './service.js'
import type { ServiceName } from './services.js'

/** How long a run may go without any progress, in milliseconds. */
const STALL_MS = 60_000

/** What the members of each service have done together. */
export type CountsByService = Readonly<Record<ServiceName, ServiceCounts>>

/**
 * Knows how far a run is: the counts of all members, and whether everything has arrived everywhere.
 */
export class RunMonitor {
  readonly total: number
  /** Resolves when everything is handled. Rejects when the run has failed, or nothing has happened for a minute: something is lost. */
  readonly finished: Promise<void>
  readonly #members = new Map<string, { readonly service: ServiceName; counts: Readonly<ServiceCounts> }>()
  #resolve: () => void = () => {}
  #reject: (error: unknown) => void = () => {}
  readonly #watchdog: NodeJS.Timeout

  /** @param total - departures that will be published. */
  constructor(total: number, stallMs = STALL_MS) {
    this.total = total
    this.finished = new Promise<void>((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    // Nobody may be waiting yet.
    this.finished.catch(() => {})
    this.#watchdog = setTimeout(() => this.fail(this.#stalled(stallMs)), stallMs)
  }

  /** Notes what a member has done so far. */
  update(member: string, service: ServiceName, counts: Readonly<ServiceCounts>): void {
    this.#members.set(member, { service, counts })
    this.#watchdog.refresh()
    if (this.#isComplete()) this.#resolve()
  }

  /** Ends the run: a service can't go on, or the user has interrupted. */
  fail(error: unknown): void {
    this.#reject(error)
  }

  /** Stops watching: a run that isn't finished by now won't be. */
  stop(): void {
    clearTimeout(this.#watchdog)
    this.#reject(new Error('the run was stopped'))
  }

  get counts(): CountsByService {
    const sums: CountsByService = {
      departures: newCounts(),
      delays: newCounts(),
      audit: newCounts(),
      alerts: newCounts(),
    }
    for (const { service, counts } of this.#members.values()) {
      for (const name of Object.keys(counts) as (keyof ServiceCounts)[]) sums[service][name] += counts[name]
    }
    return sums
  }

  #isComplete(): boolean {
    const { departures, delays, audit, alerts } = this.counts
    if (departures.records < this.total || delays.records < this.total) return false
    return audit.records + audit.invalid >= this.total && alerts.records >= delays.alerts
  }

  #stalled(stallMs: number): Error {
    const { departures, delays, audit, alerts } = this.counts
    const far = `published ${departures.records}, delays ${delays.records}, audit ${audit.records}, alerts ${alerts.records} of ${delays.alerts}`
    return new Error(`nothing has happened for ${stallMs / 1000} s: of ${this.total} departures ${far}`)
  }
}
