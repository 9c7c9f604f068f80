import type { Delivery } from '../consumer/delivery.js'
import type { PartitionState } from '../consumer/partition-state.js'
import type { ClaimAnswer, DedupeClaim } from './dedupe-store.js'
import type { Caller } from './gathered-calls.js'

/** Maximum number of messages that are claimed and not started. */
const MOST = 500

/** How far ahead messages are claimed: those expected to start within this time, in milliseconds. */
const HORIZON_MS = 50

export interface ClaimsAheadHost {
  readonly claimMs: number
  make(delivery: Delivery): DedupeClaim
  /**
   * Returns the messages that start next: behind started messages, and from the inboxes. Some may have been claimed
   * already.
   */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[]
  /** Releases a claim. Never rejects. */
  release(claim: DedupeClaim): Promise<void>
  /** A call for more claims is worthwhile. */
  hurry(): void
}

/**
 * Claims messages that wait for their start, so that they needn't wait for the store. As many as start within a moment
 * at the loop's present rate: none if handlers are slow. These claims are not extended: a message that has waited too
 * long is claimed again at its start.
 */
export class ClaimsAhead {
  readonly #host: ClaimsAheadHost
  readonly #entries = new Map<Delivery, ClaimAhead>()
  readonly #giving = new Set<Promise<void>>()
  /**
   * How long a claim is used, from before it was requested: well below `claimMs`, so that its first extension is in
   * time.
   */
  readonly #freshMs: number
  readonly #horizonMs: number
  /** Started since the waiting messages were last checked. */
  #started: Delivery[] = []
  #lookedAt = performance.now()
  #target = 0

  constructor(host: ClaimsAheadHost) {
    this.#host = host
    this.#freshMs = host.claimMs / 10
    this.#horizonMs = Math.min(HORIZON_MS, this.#freshMs / 2)
  }

  /** The message starts. Returns its claim, if any, and gives up ownership of it. */
  take(delivery: Delivery): ClaimAhead | undefined {
    this.#started.push(delivery)
    const entry = this.#entries.get(delivery)
    if (entry === undefined) return undefined
    this.#entries.delete(delivery)
    if (this.#entries.size * 2 <= this.#target && this.#started.length * 4 >= this.#target) this.#host.hurry()
    return entry
  }

  /** Returns further claims for the next call to the store. */
  more(): ClaimAhead[] {
    const now = performance.now()
    const pace = this.#started.length / Math.max(now - this.#lookedAt, 0.01)
    const target = Math.min(MOST, Math.floor(pace * this.#horizonMs))
    const started = this.#started
    this.#lookedAt = now
    this.#started = []
    this.#target = target
    this.#giveBackOld()
    const entries: ClaimAhead[] = []
    for (const delivery of this.#host.upcoming(target, started)) {
      if (this.#entries.size >= target) break
      if (this.#entries.has(delivery)) continue
      const entry = new ClaimAhead(this.#host, delivery, now + this.#freshMs)
      this.#entries.set(delivery, entry)
      entries.push(entry)
    }
    return entries
  }

  /** Releases claims that weren't started, of one partition or of all. */
  giveBack(partition: PartitionState | undefined): void {
    for (const [delivery, entry] of this.#entries) {
      if (partition !== undefined && delivery.partitionState !== partition) continue
      this.#giveBack(delivery, entry)
    }
  }

  /** Resolves once the store has processed the releases so far. Never rejects. */
  async givenBack(): Promise<void> {
    await Promise.all(this.#giving)
  }

  #giveBack(delivery: Delivery, entry: ClaimAhead): void {
    this.#entries.delete(delivery)
    const giving = entry.giveBack().finally(() => this.#giving.delete(giving))
    this.#giving.add(giving)
  }

  /** Messages behind a slow one must not use up the limit, and are better claimed by no member. */
  #giveBackOld(): void {
    for (const [delivery, entry] of this.#entries) {
      if (entry.fresh || entry.arriving) return
      this.#giveBack(delivery, entry)
    }
  }

  /** Releases the claim of a waiting duplicate that blocks a message which starts. True if there is one. */
  giveWay({ topic, id }: DedupeClaim): boolean {
    for (const [delivery, entry] of this.#entries) {
      const { item, answer } = entry
      if (answer !== 'claimed' || item.id !== id || item.topic !== topic) continue
      this.#giveBack(delivery, entry)
      return true
    }
    return false
  }
}

/** A claim that was requested before its message's start. */
export class ClaimAhead implements Caller<DedupeClaim, ClaimAnswer> {
  readonly item: DedupeClaim
  /** undefined`: pending, or the store could not answer. */
  answer: ClaimAnswer | undefined = undefined
  /** The store has been or is about to be asked, and hasn't answered. */
  arriving = true
  readonly #host: ClaimsAheadHost
  readonly #until: number
  #waiter: (() => void) | undefined

  constructor(host: ClaimsAheadHost, delivery: Delivery, until: number) {
    this.#host = host
    this.#until = until
    this.item = host.make(delivery)
  }

  /** The answer is still valid. */
  get fresh(): boolean {
    return performance.now() < this.#until
  }

  /** Resolves when the answer has arrived, or won't arrive. For one caller. */
  arrival(): Promise<void> | undefined {
    if (!this.arriving) return undefined
    return new Promise((resolve) => {
      this.#waiter = resolve
    })
  }

  async giveBack(): Promise<void> {
    if (this.arriving) await this.arrival()
    if (this.answer === 'claimed') await this.#host.release(this.item)
  }

  resolve(answer: ClaimAnswer): void {
    this.answer = answer
    this.#arrived()
  }

  /** The start asks again, and reports a failure then. */
  reject(): void {
    this.#arrived()
  }

  #arrived(): void {
    this.arriving = false
    this.#waiter?.()
  }
}
