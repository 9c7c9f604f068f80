import { atMost } from '@streamswitch/core/driver'
import type { Message as KafkajsMessage, Producer } from 'kafkajs'
import { compressionType } from './compression.js'
import type { KafkajsClient } from './kafkajs-client.js'
import type { CompressionName } from './options.js'
import type { NativeRecord } from './record-batch.js'

/** Maximum wait for a clean disconnect, in milliseconds. */
const DISCONNECT_MS = 2_000

export interface PublisherSettings {
  readonly idempotent: boolean
  readonly compression: CompressionName
}

/** A kafkajs producer that sends each batch once and returns where it was stored. */
export class Publisher {
  readonly #client: KafkajsClient
  readonly #producer: Producer
  readonly #settings: PublisherSettings
  readonly #timeoutMs: number

  constructor(client: KafkajsClient, settings: PublisherSettings, timeoutMs: number) {
    this.#client = client
    this.#settings = settings
    this.#timeoutMs = timeoutMs
    this.#producer = client.kafka.producer({
      idempotent: settings.idempotent,
      allowAutoTopicCreation: false,
      createPartitioner: () => (request) => request.message.partition as number,
      // An idempotent producer must be allowed to repeat; it recognises its own repetition.
      retry: { retries: settings.idempotent ? 1 : 0, initialRetryTime: 50, maxRetryTime: 200 },
    })
  }

  open(): Promise<void> {
    return this.#producer.connect()
  }

  /**
   * Stores records of one partition, all or none, on all in-sync replicas. Resolves with the offset of the first, if
   * the broker returns it.
   */
  async send(topic: string, messages: NativeRecord[]): Promise<number | undefined> {
    const [stored] = await this.#producer.sendBatch({
      acks: -1,
      timeout: this.#timeoutMs,
      compression: compressionType(this.#settings.compression),
      // kafkajs only reads partition and value, and passes the records to the patched request.
      topicMessages: [{ topic, messages: messages as unknown as KafkajsMessage[] }],
    })
    const offset = Number(stored?.baseOffset ?? -1)
    return offset < 0 ? undefined : offset
  }

  /** Never rejects; bounded. */
  async close(): Promise<void> {
    await atMost(this.#producer.disconnect(), DISCONNECT_MS)
    this.#client.cut()
  }
}
