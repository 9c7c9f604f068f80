import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Admin, type PartitionLag, StreamError, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import { type AmqpConnection, openConnection } from './connection.js'
import { ControlChannel } from './control-channel.js'
import { classifyError, replyCodeOf } from './errors.js'
import { checkExistingQueue } from './existing-queue.js'
import { readLag } from './lag.js'
import { groupNames, groupPart } from './names.js'
import { isQueue } from './options.js'
import { exchangeExists } from './partition-count.js'
import { commonOf, type Shared } from './shared.js'
import type { RegistryEntry } from './topic-registry.js'
import { deleteTopology, provisionTopic, type TopologyContext } from './topology.js'

/** How long an operation is repeated that finds a topic being changed, and how often, in milliseconds. */
const PATIENCE_MS = 5_000
const REPEAT_MS = 100

/** Lists, creates and deletes topics. Each call uses a separate connection. */
export class AmqpAdmin implements Admin {
  readonly #shared: Shared
  /** Topics as they were listed last. */
  #seen: ReadonlyMap<string, RegistryEntry> = new Map()

  constructor(shared: Shared) {
    this.#shared = shared
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    const partitions = await this.#connected('provision', spec.topic, async (connection) => {
      if (!isQueue(this.#shared.settings, spec)) return provisionTopic(this.#context(connection, spec), spec)
      await checkExistingQueue(connection, spec)
      return 1
    })
    return { topic: spec.topic, partitions }
  }

  /**
   * Topics that Streamswitch created, from its own registry: the protocol can't list what a broker holds. One that was
   * listed before and isn't any more is considered deleted only if its exchange is gone.
   */
  async topics(): Promise<readonly TopicInfo[]> {
    const { prefix } = this.#shared
    const listed = await this.#connected('topics', undefined, (connection) => this.#listed(connection))
    return listed.map(({ topic, partitions }) => ({ topic: topic.slice(prefix.length), partitions }))
  }

  async #listed(connection: AmqpConnection): Promise<readonly RegistryEntry[]> {
    const { registry, logger } = this.#shared
    const topics = (await registry.read(connection)).filter((entry) => entry.group === undefined)
    const present = new Set(topics.map(({ topic }) => topic))
    for (const entry of this.#seen.values()) {
      if (present.has(entry.topic) || !(await exchangeExists(connection, entry.topic))) continue
      topics.push(entry)
      logger.warn(`topic '${entry.topic}' was missing in the topic registry although it exists: added again`)
      await registry.add(connection, entry)
    }
    this.#seen = new Map(topics.map((entry) => [entry.topic, entry]))
    return topics
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    const { prefix, publishing, settings } = this.#shared
    const names = groupNames(spec, groupPart(spec, brokerGroup, prefix))
    return this.#connected('lag', spec.topic, async (connection) => {
      if (isQueue(settings, spec)) {
        // What its consumers hold is unknown.
        const { messageCount } = await checkExistingQueue(connection, spec)
        return [{ topic: spec.topic, partition: 0, lag: messageCount }]
      }
      const partitions = await provisionTopic(this.#context(connection, spec), { ...spec, provision: 'verify' })
      const { consumerCount } = await this.#requireGroup(connection, names.queue(0), spec.topic, brokerGroup)
      const control = new ControlChannel(publishing)
      try {
        const asker = `admin-${randomBytes(6).toString('hex')}`
        return await readLag({
          connection,
          control,
          names,
          topic: spec.topic,
          partitions,
          asker,
          members: consumerCount === 0 ? 0 : undefined,
        })
      } finally {
        await control.close()
      }
    })
  }

  async deleteTopic(spec: TopicSpec): Promise<void> {
    if (isQueue(this.#shared.settings, spec)) return
    const { registry } = commonOf(this.#shared, spec)
    await this.#connected('deleteTopic', spec.topic, async (connection) => {
      const entries = await registry.read(connection)
      const groups = entries.flatMap(({ topic, group, partitions }) =>
        topic === spec.derivedName && group !== undefined ? [{ group, partitions }] : [],
      )
      await deleteTopology(connection, spec, groups)
      await registry.remove(connection, spec.derivedName)
    })
  }

  #context(connection: AmqpConnection, spec: TopicSpec): TopologyContext {
    const { registry, shared } = commonOf(this.#shared, spec)
    return { connection, registry, shared, logger: this.#shared.logger }
  }

  async #requireGroup(
    connection: AmqpConnection,
    queue: string,
    topic: string,
    group: string,
  ): Promise<{ readonly consumerCount: number }> {
    try {
      return await connection.withChannel('lag', (channel) => channel.checkQueue(queue))
    } catch (error) {
      if (replyCodeOf(error) !== 404) throw error
      throw new StreamError(`topic '${topic}' has no group '${group}'`, {
        code: 'NOT_FOUND',
        transport: 'amqp',
        operation: 'lag',
        topic,
      })
    }
  }

  /**
   * On a broker that can be reached, unavailability is transient: a stream without a leader yet, a topic that another
   * client is creating or deleting at the moment. Every operation here can be repeated.
   */
  async #connected<T>(
    operation: string,
    topic: string | undefined,
    run: (connection: AmqpConnection) => Promise<T>,
  ): Promise<T> {
    let patience: AbortSignal | undefined
    for (;;) {
      let connection: AmqpConnection | undefined
      try {
        connection = await openConnection(this.#shared.settings, `${this.#shared.clientId} admin`)
        patience ??= AbortSignal.timeout(PATIENCE_MS)
        return await run(connection)
      } catch (cause) {
        const error = classifyError(cause, operation, topic)
        const passing = connection !== undefined && error.code === 'UNAVAILABLE' && patience?.aborted === false
        if (!passing) throw error
      } finally {
        await connection?.close()
      }
      await delay(REPEAT_MS)
    }
  }
}
