import type { AdapterDefinition, GroupNames, TopicSpec } from '../contract/adapter.js'
import type { OutgoingRecord } from '../contract/record.js'
import type { StreamError } from '../errors.js'
import { readOptions } from '../options/resolve.js'
import type { Transport } from '../transport/transport.js'
import { extraBytesOf, originalFor, type PassedOn } from './passed-on.js'
import { PendingRecord } from './pending-record.js'
import { producerFields } from './producer-options.js'
import { recordSize } from './send-options.js'
import { SendPipeline } from './send-pipeline.js'

/** An existing record: its payload, id and timestamp are unchanged. */
export interface FinishedRecord extends Pick<OutgoingRecord, 'id' | 'key' | 'payload' | 'headers' | 'timestamp'> {
  /** The received message, if the transport has its format. */
  readonly passedOn?: PassedOn | undefined
}

/** Sends unchanged records to one topic, with a producer's defaults: used for what core itself writes. */
export class RecordSender {
  readonly #pipeline: SendPipeline
  readonly #adapter: AdapterDefinition

  /**
   * @param subject - begins errors: `the dead-letter topic 'orders.billing.dlq'`.
   * @param onlyGroup - see `ProducerSpec`.
   */
  constructor(transport: Transport, spec: TopicSpec, subject: string, onlyGroup?: GroupNames) {
    const context = { subject, transport: transport.name, topic: spec.topic }
    this.#adapter = transport.adapter
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
      const { id, key, payload, headers, timestamp, passedOn } = record
      const original = passedOn && originalFor(this.#adapter, passedOn)
      const fields = { id, key, payload, headers, timestamp, partition: undefined, sequence: undefined, original }
      const size = recordSize(payload, key, headers) + (passedOn && original ? extraBytesOf(passedOn) : 0)
      this.#pipeline.submit(new PendingRecord(fields, size, owner))
    })
  }

  close(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return this.#pipeline.close(timeoutMs, signal)
  }
}
