import type { ConsumeMessage } from 'amqplib'
import type { AttemptStore } from './attempt-store.js'
import type { HeldMessages } from './held-messages.js'
import { fingerprintOf, type History } from './message.js'

/** What is known of messages that were delivered before. */
export interface DeliveryHistory {
  /** What is on record has been read since the last reset. */
  readonly isRead: boolean
  /** Others may write from now on: what was read no longer holds. */
  reset(): void
  /** Reads what is on record. */
  read(): Promise<void>
  historyOf(message: ConsumeMessage): History | undefined
  /** The message is done: nothing about it need be kept. */
  settled(message: ConsumeMessage): void
  /** These go back to the queue, and none of them is what a process may die of. Never rejects. */
  giveBack(messages: readonly ConsumeMessage[], unread: readonly ConsumeMessage[]): Promise<void>
  /** This process held them when it lost the queue, and is alive. */
  lost(messages: Iterable<ConsumeMessage>): void
}

/**
 * What is known of messages that were delivered before: how often they were tried, and whether a process may have died of them.
 * The broker says only that they were delivered, which prefetched ones were without anybody looking at them.
 */
export class Redeliveries implements DeliveryHistory {
  readonly #queue: string
  readonly #store: AttemptStore
  readonly #held: HeldMessages
  /** Given back unstarted by the last owner. */
  #returned: ReadonlySet<string> = new Set()
  #read = false
  /** Counts resets: what was asked for before one is no answer after it. */
  #era = 0

  constructor(queue: string, store: AttemptStore, held: HeldMessages) {
    this.#queue = queue
    this.#store = store
    this.#held = held
  }

  /** What is on record has been read since the last {@link Redeliveries.reset}. */
  get isRead(): boolean {
    return this.#read
  }

  /** Others may write from now on: what was read no longer holds. */
  reset(): void {
    this.#era += 1
    this.#read = false
    this.#returned = new Set()
    this.#store.abandon()
  }

  /** Reads what is on record. After a failure too, it counts as read: everything is suspect then, and was never tried. */
  async read(): Promise<void> {
    const era = this.#era
    try {
      await this.#store.load()
      if (era !== this.#era) return
      const returned = await this.#store.takeReturned()
      if (era === this.#era) this.#returned = returned
    } finally {
      if (era === this.#era) this.#read = true
    }
  }

  historyOf(message: ConsumeMessage): History | undefined {
    if (!message.fields.redelivered) return undefined
    const id = fingerprintOf(message)
    return { attempts: this.#store.attempts(id), suspect: !this.#isHarmless(id) }
  }

  /** The message is done: nothing about it need be kept. */
  settled(message: ConsumeMessage): void {
    const id = fingerprintOf(message)
    this.#store.forget(id)
    this.#held.settled(this.#queue, id)
  }

  /** These go back to the queue, and none of them is what a process may die of. Never rejects. */
  async giveBack(messages: readonly ConsumeMessage[], unread: readonly ConsumeMessage[]): Promise<void> {
    const harmless = unread.filter((message) => this.historyOf(message)?.suspect !== true)
    const ids = [...messages, ...harmless].map(fingerprintOf)
    if (ids.length > 0) await this.#store.giveBack(ids)
    else await this.#store.flush()
  }

  /** This process held them when it lost the queue, and is alive. */
  lost(messages: Iterable<ConsumeMessage>): void {
    this.#held.lost(this.#queue, [...messages].map(fingerprintOf))
  }

  #isHarmless(id: string): boolean {
    return this.#returned.has(id) || this.#held.isHarmless(this.#queue, id)
  }
}
