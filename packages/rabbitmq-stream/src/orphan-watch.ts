import { setTimeout as delay } from 'node:timers/promises'

/** How often members look, and how often owners at work show that they live, in milliseconds. */
export const WATCH_INTERVAL_MS = 1_000
/** No sign of life for this long, and work waiting: nobody owns the partition. */
const SILENT_MS = 5_000
/** All members step back at the same times, multiples of this; each further time twice as long apart. */
const PERIOD_MS = 5_000
const MAX_PERIOD_MS = 160_000
/** How long they stay away: what their clocks may differ by. */
const AWAY_MS = 1_000

/** What the watch needs of a candidate for a partition. */
export interface Candidate {
  /** True while it neither owns the partition nor is leaving. */
  readonly waiting: boolean
  /** Changes whenever the owner does anything. */
  signs(): Promise<string>
  /** There are messages that the group hasn't handled. */
  hasBacklog(): Promise<boolean>
  /** Gives up the candidacy. */
  stepBack(): Promise<void>
  /** Stands again. */
  join(): Promise<void>
}

interface Observation {
  signs: string
  since: number
  periodMs: number
}

/**
 * Finds partitions without an owner. When two members of a super stream's group end at once, RabbitMQ (4.0) may wait for ever for
 * the answer of a dead one, and activates nobody. It only forgets a group that has no member left: so all that wait step back
 * at the same moment, which they find by the clock.
 */
export class OrphanWatch {
  readonly #candidates: readonly Candidate[]
  readonly #failed: (error: unknown) => void
  readonly #seen = new Map<Candidate, Observation>()
  #timer: NodeJS.Timeout | undefined
  #busy = false

  constructor(candidates: readonly Candidate[], failed: (error: unknown) => void) {
    this.#candidates = candidates
    this.#failed = failed
  }

  start(): void {
    this.#timer = setInterval(() => void this.#round(), WATCH_INTERVAL_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async #round(): Promise<void> {
    if (this.#busy) return
    this.#busy = true
    try {
      const looks = this.#candidates.map(async (candidate) =>
        (await this.#isOrphaned(candidate)) ? candidate : undefined,
      )
      const orphaned = (await Promise.all(looks)).filter((candidate) => candidate !== undefined)
      if (orphaned.length > 0) await this.#stepBack(orphaned)
    } catch (error) {
      this.#failed(error)
    }
    this.#busy = false
  }

  async #isOrphaned(candidate: Candidate): Promise<boolean> {
    if (!candidate.waiting) {
      this.#seen.delete(candidate)
      return false
    }
    const signs = await candidate.signs()
    const seen = this.#seen.get(candidate)
    if (seen === undefined || seen.signs !== signs) {
      this.#seen.set(candidate, { signs, since: performance.now(), periodMs: PERIOD_MS })
      return false
    }
    return performance.now() - seen.since >= SILENT_MS && candidate.hasBacklog()
  }

  async #stepBack(orphaned: readonly Candidate[]): Promise<void> {
    const periodMs = Math.min(...orphaned.map((candidate) => this.#seen.get(candidate)?.periodMs ?? PERIOD_MS))
    await delay(periodMs - (Date.now() % periodMs), undefined, { ref: false })
    const still = orphaned.filter((candidate) => candidate.waiting)
    await Promise.all(still.map((candidate) => candidate.stepBack()))
    await delay(AWAY_MS, undefined, { ref: false })
    await Promise.all(still.map((candidate) => candidate.join()))
    for (const candidate of still) {
      const seen = this.#seen.get(candidate)
      if (seen === undefined) continue
      seen.since = performance.now()
      seen.periodMs = Math.min(MAX_PERIOD_MS, seen.periodMs * 2)
    }
  }
}
