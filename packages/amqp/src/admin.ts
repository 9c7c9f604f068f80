import { randomBytes } from 'node:crypto'
import { type Admin, type PartitionLag, StreamError, type TopicInfo, type TopicSpec } from '@streamswitch/core/driver'
import { type AmqpConnection, openConnection } from './connection.js'
import { ControlChannel } from './control-channel.js'
import { classifyError, replyCodeOf } from './errors.js'
import { readLag } from './lag.js'
import { groupNames } from './names.js'
import { deleteTopology, provisionTopic } from './topology.js'
import type { Shared } from './transport.js'

/** Looks at and changes topics. Each call has a connection of its own. */
export class AmqpAdmin implements Admin {
  readonly #shared: Shared

  constructor(shared: Shared) {
    this.#shared = shared
  }

  async provision(spec: TopicSpec): Promise<TopicInfo> {
    const { catalogue, logger } = this.#shared
    const partitions = await this.#connected('provision', spec.topic, (connection) =>
      provisionTopic({ connection, catalogue, logger }, spec),
    )
    return { topic: spec.topic, partitions }
  }

  /** Topics that were made by Streamswitch, from its own catalogue: the protocol can't list what a broker holds. */
  async topics(): Promise<readonly TopicInfo[]> {
    const { catalogue, prefix } = this.#shared
    const entries = await this.#connected('topics', undefined, (connection) => catalogue.read(connection))
    return entries
      .filter((entry) => entry.group === undefined)
      .map((entry) => ({ topic: entry.topic.slice(prefix.length), partitions: entry.partitions }))
  }

  async lag(spec: TopicSpec, brokerGroup: string): Promise<readonly PartitionLag[]> {
    const { catalogue, logger, prefix, publishing } = this.#shared
    const names = groupNames(spec.brokerTopic, brokerGroup.slice(prefix.length))
    return this.#connected('lag', spec.topic, async (connection) => {
      const partitions = await provisionTopic({ connection, catalogue, logger }, { ...spec, provision: 'verify' })
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
    const { catalogue } = this.#shared
    await this.#connected('deleteTopic', spec.topic, async (connection) => {
      const entries = await catalogue.read(connection)
      const groups = entries.flatMap(({ topic, group, partitions }) =>
        topic === spec.brokerTopic && group !== undefined ? [{ group, partitions }] : [],
      )
      await deleteTopology(connection, spec.brokerTopic, groups)
      await catalogue.remove(connection, spec.brokerTopic)
    })
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

  async #connected<T>(
    operation: string,
    topic: string | undefined,
    run: (connection: AmqpConnection) => Promise<T>,
  ): Promise<T> {
    let connection: AmqpConnection | undefined
    try {
      connection = await openConnection(this.#shared.settings, `${this.#shared.clientId} admin`)
      return await run(connection)
    } catch (error) {
      throw classifyError(error, operation, topic)
    } finally {
      await connection?.close()
    }
  }
}
