import { randomBytes } from 'node:crypto'
import type { ReplyChannel } from '../contract/replies.js'
import { StreamError } from '../errors.js'
import type { Headers } from '../message.js'
import { readOptions } from '../options/resolve.js'
import { PendingRecord, type RecordOwner } from '../producer/pending-record.js'
import { producerFields } from '../producer/producer-options.js'
import { recordSize } from '../producer/send-options.js'
import { SendPipeline } from '../producer/send-pipeline.js'
import type { Transport } from '../transport/transport.js'
import type { ReplyAddress } from './reply-address.js'
import { REPLIES } from './topic-replies.js'

const OWNER: RecordOwner = {
  accepted: (record) => record.resolve?.({ id: record.id, topic: REPLIES, partition: undefined, offset: undefined }),
  failed: (record, error) => record.reject?.(error),
}

/** One record of a reply. */
export interface ReplyRecord {
  readonly payload: Buffer | undefined
  readonly headers: Headers
  /** Content type of the payload; `undefined` without a payload. */
  readonly contentType: string | undefined
}

/** Sends the replies of one transport, to any inbox: opened at the first reply, shared by all its loops. */
export class ReplySender {
  /** Whether it can answer foreign requests, which name an inbox in the transport's own format. */
  readonly takesForeignAddresses: boolean
  readonly #transport: Transport
  readonly #channel: ReplyChannel
  readonly #brokerName: string
  readonly #pipeline: SendPipeline
  readonly #idPrefix = randomBytes(9).toString('base64url')
  #count = 0

  constructor(transport: Transport, channel: ReplyChannel, settings: { readonly ttlMs: number }) {
    this.#transport = transport
    this.#channel = channel
    this.takesForeignAddresses = channel.takesForeignAddresses === true
    const spec = transport.topicSpec(REPLIES)
    this.#brokerName = spec.brokerTopic
    this.#pipeline = new SendPipeline({
      transport,
      spec,
      options: readOptions(producerFields, {}, { subject: 'the reply sender', transport: transport.name }),
      adapterOptions: undefined,
      create: (sink) =>
        channel.sender({ brokerName: spec.brokerTopic, ttlMs: settings.ttlMs, provision: spec.provision }, sink),
    })
  }

  /** Returns why nothing is sent to an address; `undefined`: it may be used. */
  refusalOf({ inbox, transport }: ReplyAddress): string | undefined {
    return this.#channel.refusalOf({ inbox, isForeign: transport === undefined, brokerName: this.#brokerName })
  }

  /**
   * Resolves when the transport has accepted the record. Rejects as `send` does, with NOT_FOUND when the inbox is known
   * to be gone.
   */
  send(inbox: string, { payload, headers, contentType }: ReplyRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#pipeline.closed)
        return reject(
          new StreamError('the transport is closed: no more replies are sent', {
            code: 'CLOSED',
            transport: this.#transport.name,
            operation: 'respond',
          }),
        )
      this.#count += 1
      const record = new PendingRecord(
        {
          id: `${this.#idPrefix}-${this.#count.toString(36)}`,
          key: inbox,
          payload,
          headers,
          contentType,
          timestamp: Date.now(),
          partition: undefined,
          sequence: undefined,
        },
        recordSize(payload, inbox, headers),
        OWNER,
      )
      record.resolve = () => resolve()
      record.reject = reject
      this.#pipeline.submit(record)
    })
  }

  close(timeoutMs: number): Promise<void> {
    return this.#pipeline.close(timeoutMs)
  }
}
