import { atMost, type FetchBudget, type Logger, withSignal } from '@streamswitch/core/driver'
import type { Admin, Kafka } from 'kafkajs'
import { BootstrapServers } from './bootstrap.js'
import { GroupMember, type MemberEvents, type MemberSettings } from './group-member.js'
import { KafkajsClient } from './kafkajs-client.js'
import { fetchBudget, type MemberMemory } from './member-memory.js'
import type { KafkaValues } from './options.js'
import { PARTITION_FETCH_BYTES, PartitionReader } from './partition-reader.js'
import type { Place } from './places.js'
import { Publisher, type PublisherSettings } from './publisher.js'
import { UnreadablePartitions } from './unreadable-partitions.js'

/** Topics appear on all brokers a moment after they were created. */
const ADMIN = { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000 }
/** Maximum wait for a clean disconnect, in milliseconds. */
const DISCONNECT_MS = 3_000

/**
 * What the adapter needs of a Kafka client: publishers, group members and administration. The classes it returns are
 * where another client than kafkajs would be plugged in.
 */
export class KafkaConnection {
  readonly #options: KafkaValues
  readonly #bootstrap: BootstrapServers
  readonly #clientId: string
  readonly #logger: Logger
  readonly #members = new Map<string, MemberMemory>()
  readonly #readerBudget: FetchBudget
  #latest: Kafka | undefined

  constructor(options: KafkaValues, clientId: string, logger: Logger) {
    this.#options = options
    this.#bootstrap = new BootstrapServers(options.brokers)
    this.#clientId = clientId
    this.#logger = logger
    this.#readerBudget = fetchBudget(PARTITION_FETCH_BYTES, options.requestTimeoutMs)
  }

  /** The kafkajs client created last. */
  get native(): Kafka | undefined {
    return this.#latest
  }

  /** Opens a connection for publishing. */
  async publisher(settings: PublisherSettings, signal: AbortSignal): Promise<Publisher> {
    const client = await this.#client()
    const publisher = new Publisher(client, settings, this.#options.requestTimeoutMs)
    try {
      await withSignal(publisher.open(), signal)
      return publisher
    } catch (error) {
      await publisher.close()
      throw error
    }
  }

  /** Opens a reader of one partition, without a group. */
  async reader(place: Place, signal: AbortSignal): Promise<PartitionReader> {
    const reader = new PartitionReader(await this.#client(), place, this.#readerBudget)
    try {
      await reader.open(signal)
      return reader
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /**
   * Creates a member of a group; `open` connects it. `name`: under which it is remembered when its connection breaks.
   */
  async member(name: string, settings: Omit<MemberSettings, 'memory'>, events: MemberEvents): Promise<GroupMember> {
    const memory = this.#members.get(name) ?? {
      id: undefined,
      fetchBudget: fetchBudget(settings.fetchMaxBytes, settings.sessionTimeoutMs, this.#options.requestTimeoutMs),
      unreadable: new UnreadablePartitions(),
    }
    this.#members.set(name, memory)
    return new GroupMember(await this.#client(), { ...settings, memory }, events)
  }

  /** A member has left permanently: its state is of no use to a successor. */
  forget(name: string): void {
    this.#members.delete(name)
  }

  /**
   * Runs administrative calls on a separate connection. It is not kept: an admin client remembers every topic it has
   * used, and none of its calls works any more once one of them is deleted.
   */
  async administer<T>(work: (admin: Admin, kafka: Kafka) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const client = await this.#client()
    const admin = client.kafka.admin({ retry: ADMIN })
    try {
      await withSignal(admin.connect(), signal)
      return await withSignal(work(admin, client.kafka), signal)
    } finally {
      void atMost(admin.disconnect(), DISCONNECT_MS).then(() => client.cut())
    }
  }

  async #client(): Promise<KafkajsClient> {
    const client = await KafkajsClient.make(this.#options, this.#bootstrap, this.#clientId, this.#logger)
    this.#latest = client.kafka
    return client
  }
}
