import type { Producer, SendOptions, SendReceipt } from '@streamswitch/core'
import type { SentMessage } from '../ledger/check-history.js'
import { within } from './collect.js'
import { uniqueName } from './names.js'

interface Entry extends SentMessage {
  readonly topic: string
  confirmed: boolean | undefined
  readonly outcome: Promise<SendReceipt>
}

/** Every send of one test, in the order of the calls, with its outcome. */
export class Ledger {
  readonly #entries: Entry[] = []
  readonly #producers = new Map<string, Producer>()
  #failure: { readonly error: unknown } | undefined
  /** Set by tests in which sends may fail; otherwise a failed send ends every wait. */
  failuresExpected = false

  /** The first failure of a send that was not expected. */
  get failure(): { readonly error: unknown } | undefined {
    return this.failuresExpected ? undefined : this.#failure
  }

  /** Sends and keeps the record. The promise may be left alone: its rejection is then found by {@link Ledger.allConfirmed}. */
  send(producer: Producer, value: unknown, options: SendOptions = {}): Promise<SendReceipt> {
    const id = options.id ?? uniqueName('message')
    this.#producers.set(producer.topic, producer)
    const outcome = producer.send(value, { ...options, id })
    const entry: Entry = { id, key: options.key, topic: producer.topic, confirmed: undefined, outcome }
    this.#entries.push(entry)
    outcome.then(
      () => {
        entry.confirmed = true
      },
      (error: unknown) => {
        entry.confirmed = false
        this.#failure ??= { error }
      },
    )
    return outcome
  }

  /** Sends `count` numbered messages for each key, the keys taking turns. Resolves with nothing: look at {@link Ledger.allConfirmed}. */
  series(producer: Producer, keys: readonly (string | undefined)[], count: number, first = 0): void {
    for (let index = first; index < first + count; index += 1) {
      for (const key of keys) void this.send(producer, { key: key ?? null, index }, key === undefined ? {} : { key })
    }
  }

  sent(topic?: string): readonly SentMessage[] {
    return topic === undefined ? this.#entries : this.#entries.filter((entry) => entry.topic === topic)
  }

  /** The producer that sent last to a topic: what it sends next comes after all it sent before. */
  lastProducer(topic: string): Producer {
    const producer = this.#producers.get(topic)
    if (producer === undefined) throw new Error(`nothing was sent to ${topic}`)
    return producer
  }

  ids(topic?: string): string[] {
    return this.sent(topic).map((message) => message.id)
  }

  /** Resolves with all receipts, in the order of the calls; rejects when a send failed, or has no outcome in time. */
  async allConfirmed(): Promise<SendReceipt[]> {
    return within(
      Promise.all(this.#entries.map((entry) => entry.outcome)),
      `the confirmation of ${this.#entries.length} sends`,
    )
  }
}
