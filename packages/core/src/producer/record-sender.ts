import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import type { OutgoingRecord } from '../contract/record.js'
import type { StreamError } from '../errors.js'
import { readOptions } from '../options/resolve.js'
import type { Transport } from '../transport/transport.js'
import { PendingRecord } from './pending-record.js'
import { producerFields } from './producer-options.js'
import { recordSize } from './send-options.js'
import { SendPipeline } from './send-pipeline.js'

/** A record that exists already: its bytes are passed on, its id and time stay. */
export type FinishedRecord = Pick<OutgoingRecord, 'id' | 'key' | 'payload' | 'headers' | 'timestamp'>

/** Sends records as they are to one topic, with a producer's defaults: what core itself writes. */
export class RecordSender {
  readonly #pipeline: SendPipeline

  /**
   * @param subject - opens errors: `the dead-letter topic 'orders.billing.dlq'`.
   * @param onlyGroup - see `ProducerSpec`.
   */
  constructor(transport: Transport, spec: TopicSpec, subject: string, onlyGroup?: GroupNames) {
    const context = { subject, transport: transport.name, topic: spec.topic }
    this.#pipeline = new SendPipeline({
      transport,
      spec,
      onlyGroup,
      options: readOptions(producerFields, {}, context),
      adapterOptions: readOptions(transport.adapter.producerOptions, {}, context),
    })
  }

  /** Resolves when the transport has durably accepted the record. Rejects as a producer's `send` does. */
  send(record: FinishedRecord): Promise<void> {
    return new Promise((resolve, reject) => {
      const owner = {
        accepted: () => resolve(),
        failed: (_record: PendingRecord, failure: StreamError) => reject(failure),
      }
      const { id, key, payload, headers, timestamp } = record
      const fields = { id, key, payload, headers, timestamp, partition: undefined, sequence: undefined }
      this.#pipeline.submit(new PendingRecord(fields, recordSize(payload, key, headers), owner))
    })
  }

  close(timeoutMs: number): Promise<void> {
    return this.#pipeline.close(timeoutMs)
  }
}
