import {
  isInboxBelow,
  type ProducerDriver,
  type ProducerReady,
  type PublishBatch,
  type ReplyChannel,
  type ReplyInboxDriver,
  type ReplyInboxSink,
  type ReplyInboxSpec,
} from '@streamswitch/core/driver'
import type { MemoryBroker } from './connection.js'
import { inboxGone } from './errors.js'

/** Replies within this process: an inbox is a name registered with the broker while its transport is open. */
export function memoryReplies(broker: MemoryBroker, maxPayloadBytes: number): ReplyChannel {
  return {
    inbox: (spec, sink) => new MemoryInbox(broker, spec, sink),
    sender: () => new MemoryReplySender(broker, maxPayloadBytes),
    refusalOf: ({ inbox, brokerName }) =>
      isInboxBelow(`${brokerName}.`, inbox) ? undefined : `replies can only be sent to inboxes '${brokerName}.…'`,
  }
}

class MemoryInbox implements ReplyInboxDriver {
  readonly #broker: MemoryBroker
  readonly #address: string
  readonly #sink: ReplyInboxSink

  constructor(broker: MemoryBroker, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#broker = broker
    this.#address = `${spec.brokerName}.${spec.instance}`
    this.#sink = sink
  }

  async open(): Promise<string> {
    this.#broker.inboxes.set(this.#address, this.#sink)
    return this.#address
  }

  async close(): Promise<void> {
    this.#broker.inboxes.delete(this.#address)
  }
}

class MemoryReplySender implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #broker: MemoryBroker
  readonly #maxPayloadBytes: number

  constructor(broker: MemoryBroker, maxPayloadBytes: number) {
    this.#broker = broker
    this.#maxPayloadBytes = maxPayloadBytes
  }

  async open(): Promise<ProducerReady> {
    return { partitions: 1, maxPayloadBytes: this.#maxPayloadBytes }
  }

  publish(batch: PublishBatch): void {
    for (const [index, { key = '', payload, headers = {}, timestamp }] of batch.records.entries()) {
      const inbox = this.#broker.inboxes.get(key)
      if (inbox === undefined) {
        batch.fail(index, inboxGone())
        continue
      }
      inbox.reply({ headers, payload, timestamp })
      batch.accept(index)
    }
  }

  async close(): Promise<void> {}
}
