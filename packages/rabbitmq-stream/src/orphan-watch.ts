import { everyInStep } from '@streamswitch/core/driver'

/** How often members look, and how often owners at work show that they live, in milliseconds. */
export const WATCH_INTERVAL_MS = 1_000
/** No sign of life for this long, and work waiting: nobody owns the partition. Each further time twice as long. */
const SILENT_MS = 5_000
const MAX_SILENT_MS = 160_000
/** How long members stay away: all others have looked by then, and have seen the call. */
const AWAY_MS = 3 * WATCH_INTERVAL_MS

/** What a candidate sees of its partition. */
export interface Sight {
  /** Changes whenever the owner does anything. */
  readonly signs: string
  /** Changes with each call to step back. */
  readonly call: bigint | undefined
}

/** What the watch needs of a candidate for a partition. */
export interface Candidate {
  /** True while it is a candidate that the broker hasn't activated, as far as it has heard. */
  readonly waiting: boolean
  look(): Promise<Sight>
  /** There are messages that the group hasn't handled. */
  hasBacklog(): Promise<boolean>
  /** Calls upon everybody who waits for the partition to step back. */
  callBack(): void
  /** Gives up the candidacy of a candidate that waits; does nothing, and resolves to false, for one that doesn't. */
  stepBack(): Promise<boolean>
  /** Stands again. */
  join(): Promise<void>
}

interface Observation extends Sight {
  /** By `performance.now()`. */
  readonly since: number
  readonly silentMs: number
}

/**
 * Finds partitions without an owner. When two members of a super stream's group end at once, RabbitMQ (4.0) may wait for ever for
 * the answer of a dead one, and activates nobody. It only forgets a group that has no member left: so the one who finds it calls,
 * and all that wait step back, for long enough that they are away at the same time.
 */
export class OrphanWatch {
  readonly #candidates: readonly Candidate[]
  readonly #failed: (error: unknown) => void
  readonly #seen = new Map<Candidate, Observation>()
  #end: () => void = () => {}
  #busy = false

  constructor(candidates: readonly Candidate[], failed: (error: unknown) => void) {
    this.#candidates = candidates
    this.#failed = failed
  }

  start(): void {
    this.#end = everyInStep(WATCH_INTERVAL_MS, () => void this.#round())
  }

  stop(): void {
    this.#end()
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

  /** Found here, or by another one who has called since the last look. */
  async #isOrphaned(candidate: Candidate): Promise<boolean> {
    if (!candidate.waiting) {
      this.#seen.delete(candidate)
      return false
    }
    const sight = await candidate.look()
    const seen = this.#seen.get(candidate)
    if (seen === undefined || seen.signs !== sight.signs) {
      this.#seen.set(candidate, { ...sight, since: performance.now(), silentMs: SILENT_MS })
      return false
    }
    if (seen.call !== sight.call) return true
    if (performance.now() - seen.since < seen.silentMs || !(await candidate.hasBacklog())) return false
    if (!candidate.waiting) return false
    candidate.callBack()
    return true
  }

  async #stepBack(orphaned: readonly Candidate[]): Promise<void> {
    const answers = await Promise.all(
      orphaned.map(async (candidate) => ((await candidate.stepBack()) ? candidate : undefined)),
    )
    const away = answers.filter((candidate) => candidate !== undefined)
    if (away.length === 0) return
    await new Promise<void>((resolve) => setTimeout(resolve, AWAY_MS).unref())
    await Promise.all(away.map((candidate) => this.#standAgain(candidate)))
  }

  /** Calls of others who found the same count as seen. */
  async #standAgain(candidate: Candidate): Promise<void> {
    const silentMs = Math.min(MAX_SILENT_MS, 2 * (this.#seen.get(candidate)?.silentMs ?? SILENT_MS))
    const sight = await candidate.look()
    await candidate.join()
    this.#seen.set(candidate, { ...sight, since: performance.now(), silentMs })
  }
}
