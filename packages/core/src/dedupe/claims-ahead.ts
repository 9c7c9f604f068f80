import type { Delivery } from '../consumer/delivery.js'
import type { PartitionState } from '../consumer/partition-state.js'
import type { ClaimAnswer, DedupeClaim } from './dedupe-store.js'
import type { Caller } from './gathered-calls.js'

/** Most messages that are claimed and not started. */
const MOST = 500

/** How far ahead messages are claimed: those that start within this time as things go, in milliseconds. */
const HORIZON_MS = 50

export interface ClaimsAheadHost {
  readonly claimMs: number
  make(delivery: Delivery): DedupeClaim
  /** What starts next: behind messages that were started, and from the inboxes. Some of it may have been claimed already. */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[]
  /** Gives a claim back. Never rejects. */
  release(claim: DedupeClaim): Promise<void>
  /** A call for more is worth its while. */
  hurry(): void
}

/**
 * The claims of messages that wait for their start, so that it needn't wait for them. As many as start within a moment at the loop's
 * present pace: none where handlers are slow. They are not extended: what has waited for too long is claimed anew at its start.
 */
export class ClaimsAhead {
  readonly #host: ClaimsAheadHost
  readonly #entries = new Map<Delivery, ClaimAhead>()
  readonly #giving = new Set<Promise<void>>()
  /** How long a claim counts, from before it was asked for: well below `claimMs`, so that its first extension comes in time. */
  readonly #freshMs: number
  readonly #horizonMs: number
  /** Started since the last look at what waits. */
  #started: Delivery[] = []
  #lookedAt = performance.now()
  #target = 0

  constructor(host: ClaimsAheadHost) {
    this.#host = host
    this.#freshMs = host.claimMs / 10
    this.#horizonMs = Math.min(HORIZON_MS, this.#freshMs / 2)
  }

  /** The message starts. Returns what there is of a claim for it, which is no longer this object's. */
  take(delivery: Delivery): ClaimAhead | undefined {
    this.#started.push(delivery)
    const entry = this.#entries.get(delivery)
    if (entry === undefined) return undefined
    this.#entries.delete(delivery)
    if (this.#entries.size * 2 <= this.#target && this.#started.length * 4 >= this.#target) this.#host.hurry()
    return entry
  }

  /** What a call to the store takes along. */
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

  /** Gives back what isn't started, of one partition or of all. */
  giveBack(partition: PartitionState | undefined): void {
    for (const [delivery, entry] of this.#entries) {
      if (partition !== undefined && delivery.partitionState !== partition) continue
      this.#giveBack(delivery, entry)
    }
  }

  /** Resolves once the store has taken what was given back so far. Never rejects. */
  async givenBack(): Promise<void> {
    await Promise.all(this.#giving)
  }

  #giveBack(delivery: Delivery, entry: ClaimAhead): void {
    this.#entries.delete(delivery)
    const giving = entry.giveBack().finally(() => this.#giving.delete(giving))
    this.#giving.add(giving)
  }

  /** What waits behind a slow one must take no room from what needn't, and is better held by nobody. */
  #giveBackOld(): void {
    for (const [delivery, entry] of this.#entries) {
      if (entry.fresh || entry.arriving) return
      this.#giveBack(delivery, entry)
    }
  }

  /** A message that starts has its double among those that wait, by whose claim it is held up: gives that back. True where there is one. */
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

/** A claim that was asked for ahead of its message's start. */
export class ClaimAhead implements Caller<DedupeClaim, ClaimAnswer> {
  readonly item: DedupeClaim
  /** `undefined`: not there yet, or the store couldn't give one. */
  answer: ClaimAnswer | undefined = undefined
  /** The store has been asked, or is about to be, and hasn't answered. */
  arriving = true
  readonly #host: ClaimsAheadHost
  readonly #until: number
  #waiter: (() => void) | undefined

  constructor(host: ClaimsAheadHost, delivery: Delivery, until: number) {
    this.#host = host
    this.#until = until
    this.item = host.make(delivery)
  }

  /** The answer still holds. */
  get fresh(): boolean {
    return performance.now() < this.#until
  }

  /** Resolves when the answer is there, or won't come. For one caller. */
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

  /** The start asks again, and tells of what fails then. */
  reject(): void {
    this.#arrived()
  }

  #arrived(): void {
    this.arriving = false
    this.#waiter?.()
  }
}
