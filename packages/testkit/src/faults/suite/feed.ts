import type { Producer } from '@streamswitch/core'
import { within } from '../../conformance/collect.js'
import { type LedgerWriter, recordSend } from '../../ledger/index.js'

/** What a feed sends. */
export interface FeedShape {
  readonly producers: number
  /** Messages of all producers together. */
  readonly total: number
  /** Sends without an outcome at once, per producer. */
  readonly window: number
  readonly keysPerProducer: number
}

/** Producers of this process that send numbered messages, each under keys of its own, as fast as their windows allow. */
export class Feed {
  readonly shape: FeedShape
  readonly producers: readonly Producer[]
  readonly #writer: LedgerWriter
  readonly #open = new Set<string>()
  readonly #payload: string
  readonly #waiting: { readonly count: number; readonly resolve: () => void }[] = []
  #allowed = 0
  #allowMore: (() => void)[] = []
  #sent = 0
  #failed = 0
  #confirmed = 0
  #stopped = false

  /** @param payloadBytes - how large a message is, about. */
  constructor(producers: readonly Producer[], shape: FeedShape, writer: LedgerWriter, payloadBytes = 100) {
    this.producers = producers
    this.shape = shape
    this.#writer = writer
    this.#payload = 'x'.repeat(payloadBytes)
  }

  /** Ids of sends that have no outcome yet. */
  get unconfirmed(): readonly string[] {
    return [...this.#open]
  }

  get confirmed(): number {
    return this.#confirmed
  }

  get failed(): number {
    return this.#failed
  }

  /** Everything that may be sent now has been, and has its outcome. */
  get resting(): boolean {
    return this.#sent >= this.#allowed && this.#open.size === 0
  }

  /** Records that producers sent again. */
  get resent(): number {
    return this.producers.reduce((sum, producer) => sum + producer.stats().resent, 0)
  }

  /** Connections that producers have made again. */
  get reconnects(): number {
    return this.producers.reduce((sum, producer) => sum + producer.stats().reconnects, 0)
  }

  /** Resolves right after so many sends are confirmed, with the next ones just written; rejects after `timeoutMs`. */
  async reached(count: number, timeoutMs: number): Promise<void> {
    if (this.#confirmed < count) {
      const reached = new Promise<void>((resolve) => this.#waiting.push({ count, resolve }))
      await within(reached, `${count} confirmed sends; there are ${this.#confirmed}`, timeoutMs)
    }
    // Producers write what was gathered in a turn at its end.
    for (let turn = 0; turn < 2; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Resolves when everything has its outcome. */
  async run(): Promise<void> {
    await Promise.all(this.producers.map((producer, index) => this.#feed(producer, index)))
  }

  /**
   * Lets the producers send this share of all messages, and a window each beyond it: when the share is confirmed there is still
   * something under way. Nothing is sent before the first call.
   */
  allow(share: number): void {
    const { total, producers, window } = this.shape
    this.#allowed = Math.min(total, total * share + producers * window)
    this.#wake()
  }

  /** Sends nothing more. */
  stop(): void {
    this.#stopped = true
    this.#wake()
  }

  #wake(): void {
    for (const wake of this.#allowMore.splice(0)) wake()
  }

  async #whenAllowed(): Promise<void> {
    while (this.#sent >= this.#allowed && !this.#stopped)
      await new Promise<void>((resolve) => this.#allowMore.push(resolve))
  }

  async #feed(producer: Producer, index: number): Promise<void> {
    const { total, producers, window, keysPerProducer } = this.shape
    const sends = new Set<Promise<void>>()
    for (let number = 0; number < total / producers; number += 1) {
      await this.#whenAllowed()
      if (this.#stopped) break
      this.#sent += 1
      const key = `p${index}-k${number % keysPerProducer}`
      const send = this.#send(producer, `p${index}/${number}`, key).finally(() => sends.delete(send))
      sends.add(send)
      if (sends.size >= window) await Promise.race(sends)
    }
    await Promise.all(sends)
  }

  async #send(producer: Producer, id: string, key: string): Promise<void> {
    this.#open.add(id)
    if (await recordSend(this.#writer, producer, this.#payload, { id, key })) this.#confirmed += 1
    else this.#failed += 1
    this.#open.delete(id)
    for (const { count, resolve } of this.#waiting) if (this.#confirmed >= count) resolve()
  }
}
