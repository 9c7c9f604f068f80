import type {
  OutgoingRecord,
  ProducerDriver,
  ProducerReady,
  ProducerSpec,
  PublishBatch,
  TransportContext,
} from '@streamswitch/core/driver'
import { Dispatch, type DispatchHost } from './client/dispatch.js'
import type { HttpClient } from './client/http-client.js'
import { ProgressTable } from './client/progress.js'
import { hashText } from './client/rendezvous.js'
import type { Run } from './client/run.js'
import { type Target, targetsOf } from './client/targets.js'
import type { HttpOptionValues, HttpProducerOptionValues } from './options.js'

/** Content-Type where neither options nor codec say one. */
const DEFAULT_CONTENT_TYPE = 'application/octet-stream'

/** Sends records to every group of a topic, and reports each once all have answered. */
export class HttpProducerDriver implements ProducerDriver, DispatchHost {
  readonly maxInFlightBatches = 1
  // Responses wait for handlers. Each request is bounded by responseTimeoutMs in here, and each send by its own timeout in core.
  readonly publishTimeoutMs = Number.POSITIVE_INFINITY
  readonly progress = new ProgressTable()
  readonly topic: string
  readonly notFoundGraceMs: number
  readonly contentType: string
  targets: readonly Target[] = []
  readonly #spec: ProducerSpec<HttpProducerOptionValues>
  readonly #options: HttpOptionValues
  readonly #context: Pick<TransportContext, 'prefix' | 'nativeGroups'>
  readonly #client: HttpClient
  readonly #runs = new Set<Run>()
  #keyless = 0

  constructor(
    spec: ProducerSpec<HttpProducerOptionValues>,
    options: HttpOptionValues,
    context: Pick<TransportContext, 'prefix' | 'nativeGroups'>,
    client: HttpClient,
  ) {
    this.#spec = spec
    this.#options = options
    this.#context = context
    this.#client = client
    this.topic = spec.topic.topic
    this.notFoundGraceMs = spec.options.notFoundGraceMs
    this.contentType = spec.options.contentType ?? spec.contentType ?? DEFAULT_CONTENT_TYPE
  }

  async open(): Promise<ProducerReady> {
    await this.#client.open()
    const { onlyGroup } = this.#spec
    const { topic, brokerTopic, partitions } = this.#spec.topic
    const { prefix, nativeGroups } = this.#context
    this.targets = targetsOf(
      { topic, brokerTopic, prefix, nativeGroups, onlyGroup },
      this.#options,
      this.#spec.options,
      this.#client,
    )
    return { partitions: partitions ?? 1, maxPayloadBytes: this.#options.maxPayloadBytes }
  }

  /** One lane per key, and one per message without a key: a message that has to wait only blocks its own key. */
  laneOf(record: OutgoingRecord): number {
    if (record.key !== undefined) return hashText(record.key)
    this.#keyless += 1
    return -this.#keyless
  }

  publish(batch: PublishBatch): Promise<void> {
    this.#client.watch()
    return new Promise((resolve) => new Dispatch(batch, this, resolve).start())
  }

  started(run: Run): void {
    this.#runs.add(run)
  }

  ended(run: Run): void {
    this.#runs.delete(run)
  }

  async close(): Promise<void> {
    for (const run of this.#runs) run.cancelled = true
  }
}
