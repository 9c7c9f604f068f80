import { randomBytes } from 'node:crypto'
import { backoffDelayMs, RECONNECT_BACKOFF } from '../backoff.js'
import type { Delivery } from '../consumer/delivery.js'
import type { PartitionState } from '../consumer/partition-state.js'
import { StreamError, toStreamError } from '../errors.js'
import { wait } from '../time.js'
import { type ClaimAhead, ClaimsAhead } from './claims-ahead.js'
import type { ClaimAnswer, CompletionAnswer, DedupeClaim, DedupeStore, MarkSettlement } from './dedupe-store.js'
import { GatheredCalls } from './gathered-calls.js'
import { Postponement } from './postponement.js'

export interface ClaimsSettings {
  readonly store: DedupeStore
  readonly ttlMs: number
  readonly claimMs: number
  readonly transport: string
  /** Its name on the broker. */
  readonly group: string
  /** Returns the name of a topic on the broker. */
  topicName(topic: string): string
  /** Returns how the present driver settles marks. */
  marks(): MarkSettlement | undefined
  /** Returns the messages that start next, as far as known; empty while nothing may start. */
  upcoming(most: number, started: readonly Delivery[]): readonly Delivery[]
  /** The store is unavailable. */
  report(error: StreamError): void
}

/**
 * The claims of one loop: takes them before handlers start, extends them while handlers run, completes or releases
 * them.
 */
export class Claims {
  readonly #settings: ClaimsSettings
  readonly #owner = randomBytes(9).toString('base64url')
  readonly #held = new Map<DedupeClaim, Delivery>()
  readonly #claiming: GatheredCalls<DedupeClaim, ClaimAnswer>
  readonly #ahead: ClaimsAhead | undefined
  readonly #topicNames = new Map<string, string>()
  readonly #completing: GatheredCalls<DedupeClaim, CompletionAnswer>
  readonly #releasing: GatheredCalls<DedupeClaim, undefined>
  #count = 0
  #timer: NodeJS.Timeout | undefined
  #extending = false
  #closed = false

  constructor(settings: ClaimsSettings) {
    const { store, claimMs } = settings
    this.#settings = settings
    this.#ahead = store.claimsAhead === true ? this.#claimsAhead() : undefined
    const more = this.#ahead === undefined ? undefined : () => this.#ahead?.more() ?? []
    this.#claiming = new GatheredCalls((claims) => store.claim(claims, claimMs), more)
    this.#completing = new GatheredCalls((claims) => store.complete(claims))
    this.#releasing = new GatheredCalls(async (claims): Promise<readonly undefined[]> => {
      await store.release(claims)
      return []
    })
  }

  /**
   * Claims the message for this loop; synchronously if it was claimed ahead. With `claimed` the delivery carries the
   * claim. Rejects with a {@link Postponement} when the store is unavailable, or with the store's error when a retry
   * can't help.
   */
  take(delivery: Delivery): ClaimAnswer | Promise<ClaimAnswer> {
    const ahead = this.#ahead?.take(delivery)
    if (ahead?.fresh === true && (ahead.answer === 'claimed' || ahead.answer === 'done'))
      return this.#taken(delivery, ahead.item, ahead.answer)
    return this.#ask(delivery, ahead)
  }

  async #ask(delivery: Delivery, ahead: ClaimAhead | undefined): Promise<ClaimAnswer> {
    if (ahead?.arriving === true) await ahead.arrival()
    let answer = ahead?.fresh === true ? ahead.answer : undefined
    // By the same token: if it is still held, it is renewed.
    const claim = ahead?.item ?? this.#make(delivery)
    if (answer !== 'claimed' && answer !== 'done') {
      try {
        answer = await this.#claiming.ask(claim)
      } catch (cause) {
        throw this.#unanswered(cause, delivery)
      }
    }
    if (typeof answer === 'object' && this.#ahead?.giveWay(claim) === true) return { busyForMs: 0 }
    return this.#taken(delivery, claim, answer)
  }

  #taken(delivery: Delivery, claim: DedupeClaim, answer: ClaimAnswer): ClaimAnswer {
    if (answer !== 'claimed') return answer
    delivery.claim = claim
    this.#hold(claim, delivery)
    return answer
  }

  /** Releases claims that were taken ahead and not started, of one partition or of all. */
  giveBack(partition: PartitionState | undefined): void {
    this.#ahead?.giveBack(partition)
  }

  /** Resolves once the released messages are free for other members. Never rejects. */
  async givenBack(): Promise<void> {
    await this.#ahead?.givenBack()
  }

  /** True when the message's mark is sent to the broker with its ack. */
  ridesWithAck(): boolean {
    return this.#settings.marks()?.takes(this.#settings.store) === true
  }

  /**
   * Marks the message as done, unless another claim has taken it over. Retries while the store is unavailable, until
   * `signal` aborts; then rejects.
   */
  async complete(delivery: Delivery, signal: AbortSignal): Promise<CompletionAnswer> {
    const claim = delivery.claim
    if (claim === undefined) return 'completed'
    try {
      for (let attempt = 1; ; attempt += 1) {
        try {
          return await this.#completing.ask(claim)
        } catch (cause) {
          this.#settings.report(this.#storeError(cause))
          await wait(backoffDelayMs(RECONNECT_BACKOFF, attempt), signal)
        }
      }
    } finally {
      this.forget(delivery)
    }
  }

  /** Releases the message for other members: its handler has failed. */
  release(delivery: Delivery): void {
    const claim = delivery.claim
    if (claim === undefined) return
    this.forget(delivery)
    void this.#release(claim)
  }

  async #release(claim: DedupeClaim): Promise<void> {
    try {
      await this.#releasing.ask(claim)
    } catch (cause) {
      // If the store is unavailable, the claim expires automatically.
      this.#settings.report(this.#storeError(cause))
    }
  }

  /** Stops extending the claim; unless it was completed it expires. */
  forget(delivery: Delivery): void {
    const claim = delivery.claim
    if (claim === undefined) return
    delivery.claim = undefined
    this.#held.delete(claim)
  }

  /** Extends nothing from now on: held claims expire. */
  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
    this.#held.clear()
  }

  #claimsAhead(): ClaimsAhead {
    const { claimMs, upcoming } = this.#settings
    return new ClaimsAhead({
      claimMs,
      upcoming,
      make: (delivery) => this.#make(delivery),
      release: (claim) => this.#release(claim),
      hurry: () => this.#claiming.hurry(),
    })
  }

  #make(delivery: Delivery): DedupeClaim {
    const { store, group, ttlMs, marks } = this.#settings
    const settlement = marks()
    this.#count += 1
    return {
      topic: this.#topicName(delivery.topic),
      group,
      id: delivery.id,
      place: settlement?.takes(store) === true ? settlement.place(delivery.topic, delivery.partition) : undefined,
      token: `${this.#owner}${this.#count.toString(36)}`,
      ttlMs,
    }
  }

  #topicName(topic: string): string {
    let name = this.#topicNames.get(topic)
    if (name === undefined) {
      name = this.#settings.topicName(topic)
      this.#topicNames.set(topic, name)
    }
    return name
  }

  #hold(claim: DedupeClaim, delivery: Delivery): void {
    if (this.#closed) return
    this.#held.set(claim, delivery)
    this.#timer ??= setInterval(() => void this.#extend(), Math.max(5, this.#settings.claimMs / 3))
  }

  async #extend(): Promise<void> {
    if (this.#extending || this.#held.size === 0) return
    this.#extending = true
    const claims = [...this.#held.keys()]
    try {
      const kept = await this.#settings.store.extend(claims, this.#settings.claimMs)
      for (const [index, claim] of claims.entries()) if (kept[index] === false) this.#lost(claim)
    } catch (cause) {
      this.#settings.report(this.#storeError(cause))
    }
    this.#extending = false
  }

  /** Another member may be handling it by now: the handler's signal aborts, so that it can undo what it has begun. */
  #lost(claim: DedupeClaim): void {
    const delivery = this.#held.get(claim)
    this.#held.delete(claim)
    if (delivery?.claim === claim && delivery.handling) delivery.abort(this.conflict(delivery, 'busy'))
  }

  /** Returns the error for the slower of two members. */
  conflict(delivery: Delivery, how: 'done' | 'busy'): Postponement {
    const what = how === 'done' ? 'has finished it' : 'has taken it over'
    return new Postponement(
      `another member of group '${this.#settings.group}' ${what} while message ${delivery.id} was being handled here (its claim had expired: claimMs is ${this.#settings.claimMs})`,
      { ...this.#context(delivery), code: 'CONFLICT', retryAfterMs: 0 },
    )
  }

  /** Returns why a message that another claim holds can't start. */
  busy(delivery: Delivery, retryAfterMs: number): Postponement {
    return new Postponement(
      `another handler of group '${this.#settings.group}' is running for message ${delivery.id}`,
      {
        ...this.#context(delivery),
        code: 'UNAVAILABLE',
        retryAfterMs,
      },
    )
  }

  #unanswered(cause: unknown, delivery: Delivery): StreamError {
    const error = this.#storeError(cause)
    if (!error.retryable) return error
    this.#settings.report(error)
    return new Postponement(error.message, {
      ...this.#context(delivery),
      code: error.code,
      cause,
      retryAfterMs: RECONNECT_BACKOFF.maxDelayMs,
    })
  }

  #storeError(cause: unknown): StreamError {
    const error = toStreamError(cause, { code: 'UNKNOWN', transport: this.#settings.transport, operation: 'dedupe' })
    return new StreamError(`the dedupe store is unavailable: ${error.message}`, {
      code: error.code,
      retryable: error.retryable,
      transport: this.#settings.transport,
      operation: 'dedupe',
      cause,
    })
  }

  #context(delivery: Delivery): { transport: string; topic: string; operation: string } {
    return { transport: this.#settings.transport, topic: delivery.topic, operation: 'dedupe' }
  }
}
