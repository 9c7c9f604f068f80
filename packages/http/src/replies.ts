import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  PublishBatch,
  ReplyChannel,
  ReplyInboxDriver,
  ReplyInboxSink,
  ReplyInboxSpec,
} from '@streamswitch/core/driver'
import { hashText } from './client/rendezvous.js'
import { inboxes } from './client/reply-inboxes.js'
import { classifyError } from './errors.js'
import { findExchange, gone, RESPONSE } from './server/reply-exchanges.js'

/** Replies are the responses to the requests: nothing is opened, and nothing remains. */
export function httpReplies(maxPayloadBytes: number): ReplyChannel {
  return {
    inbox: (spec, sink) => new HttpInbox(spec, sink),
    sender: () => new HttpReplySender(maxPayloadBytes),
    // It is a name in this process, and nothing else can be reached by it.
    refusalOf: ({ inbox }) =>
      inbox.startsWith(`${RESPONSE}.`) ? undefined : 'replies can only be sent in the responses to requests',
    ownRequestsOnly: true,
  }
}

class HttpInbox implements ReplyInboxDriver {
  readonly #address: string
  readonly #sink: ReplyInboxSink

  constructor(spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#address = `${RESPONSE}.${spec.instance}`
    this.#sink = sink
  }

  async open(): Promise<string> {
    inboxes().set(this.#address, this.#sink)
    return this.#address
  }

  async close(): Promise<void> {
    inboxes().delete(this.#address)
  }
}

class HttpReplySender implements ProducerDriver {
  readonly maxInFlightBatches = 1
  /** A caller that reads slowly only blocks its own reply. */
  readonly publishTimeoutMs = Number.POSITIVE_INFINITY
  readonly #maxPayloadBytes: number

  constructor(maxPayloadBytes: number) {
    this.#maxPayloadBytes = maxPayloadBytes
  }

  async open(): Promise<ProducerReady> {
    return { partitions: 1, maxPayloadBytes: this.#maxPayloadBytes }
  }

  laneOf({ key = '' }: OutgoingRecord): number {
    return hashText(key)
  }

  async publish(batch: PublishBatch): Promise<void> {
    for (const [index, record] of batch.records.entries()) {
      const exchange = findExchange(record.key ?? '')
      if (exchange === undefined) {
        batch.fail(index, gone())
        continue
      }
      try {
        await exchange.send(record)
        batch.accept(index)
      } catch (error) {
        batch.fail(index, classifyError(error, 'respond'))
      }
    }
  }

  async close(): Promise<void> {}
}
