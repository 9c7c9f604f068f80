import { atMost, type FetchBudget, withSignal } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import type { Unreadable } from './batch-reader.js'
import { extentOf } from './fetch-response.js'
import type { KafkajsClient } from './kafkajs-client.js'
import { type Cluster, makeCluster } from './kafkajs-internals.js'
import type { Place } from './places.js'

/** How long a fetch waits for data, in milliseconds: the maximum time that closing may have to wait. */
const FETCH_WAIT_MS = 1_000
/** Maximum size of one fetch, in bytes. */
export const PARTITION_FETCH_BYTES = 4 * 1024 * 1024
const DISCONNECT_MS = 2_000

/** Reads one partition without a group: no commits, no rebalances. */
export class PartitionReader {
  readonly #client: KafkajsClient
  readonly #cluster: Cluster
  readonly #place: Place
  readonly #budget: FetchBudget
  #offset = 0
  #loop: Promise<void> | undefined
  #closed = false

  constructor(client: KafkajsClient, place: Place, budget: FetchBudget) {
    this.#client = client
    this.#place = place
    this.#budget = budget
    this.#cluster = makeCluster(client.kafka)
  }

  async open(signal: AbortSignal): Promise<void> {
    await withSignal(this.#cluster.connect(), signal)
    await withSignal(this.#cluster.addMultipleTargetTopics([this.#place.topic]), signal)
  }

  /**
   * Sets where reading starts: at `offset`, if the partition still has it, else at its first offset; without one, at
   * its end.
   */
  async start(offset: number | undefined): Promise<number> {
    const end = await this.#find(false)
    if (offset === undefined) this.#offset = end
    else this.#offset = Math.min(Math.max(offset, await this.#find(true)), end)
    return this.#offset
  }

  /** Reads from now on. `failed` is called once. */
  run(take: (message: KafkaMessage) => void, failed: (error: unknown) => void): void {
    this.#loop = this.#read(take).catch((error: unknown) => {
      if (!this.#closed) failed(error)
    })
  }

  /** Never rejects; bounded. */
  async close(): Promise<void> {
    this.#closed = true
    // A clean disconnect would wait for the fetch in flight.
    this.#client.cut()
    await atMost(this.#cluster.disconnect(), DISCONNECT_MS)
    await this.#loop
  }

  async #read(take: (message: KafkaMessage) => void): Promise<void> {
    const { topic, partition } = this.#place
    const leaders = this.#cluster.findLeaderForPartitions(topic, [partition])
    const [nodeId] = Object.keys(leaders)
    if (nodeId === undefined) throw new Error(`partition ${partition} of '${topic}' has no leader`)
    const broker = await this.#cluster.findBroker({ nodeId })
    while (!this.#closed) {
      const maxBytes = this.#budget.bytes
      const measured = this.#budget.begin(() => this.#client.arrivedBytes, FETCH_WAIT_MS)
      const fetched = broker.fetch({
        maxWaitTime: FETCH_WAIT_MS,
        minBytes: 1,
        maxBytes,
        isolationLevel: 1,
        topics: [{ topic, partitions: [{ partition, fetchOffset: String(this.#offset), maxBytes }] }],
        rackId: '',
      })
      const { responses } = await fetched.finally(() => measured.ended())
      for (const { messages } of responses.flatMap((response) => response.partitions)) {
        for (const message of messages) {
          const offset = Number(message.offset)
          if (offset < this.#offset) continue
          this.#offset = offset + 1
          if (!message.isControlRecord) take(message as unknown as KafkaMessage)
        }
        const extent = extentOf(messages)
        this.#offset = Math.max(this.#offset, extent?.nextOffset ?? 0)
        if (extent?.unreadable !== undefined && extent.nextOffset === undefined) await this.#passOver(extent.unreadable)
      }
    }
  }

  /** The request that waits for an unreadable reply times out; the others are served. */
  async #passOver({ range }: Unreadable): Promise<void> {
    if (range !== undefined) this.#offset = Math.max(this.#offset, range.last + 1)
    else await new Promise((resolve) => setTimeout(resolve, FETCH_WAIT_MS).unref())
  }

  async #find(fromBeginning: boolean): Promise<number> {
    const { topic, partition } = this.#place
    const [found] = await this.#cluster.fetchTopicsOffset([{ topic, partitions: [{ partition }], fromBeginning }])
    return Number(found?.partitions[0]?.offset ?? 0)
  }
}
