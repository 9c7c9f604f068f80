import type { TopicSpec } from '@streamswitch/core/driver'
import { replyCodeOf } from './errors.js'
import { groupNames } from './names.js'
import {
  type GroupSpec,
  type GroupState,
  passiveConsumers,
  provisionGroup,
  provisionQueue,
  provisionTopic,
  rebind,
  rebindOthers,
  type TopologyContext,
} from './topology.js'

/** What exists on the broker for one group of one topic: made once, looked after since. */
export class GroupTopology {
  readonly #context: TopologyContext
  readonly #topic: TopicSpec
  readonly #group: string
  readonly #ordering: 'key' | 'none'
  #partitions = 0

  constructor(context: TopologyContext, topic: TopicSpec, group: string, ordering: 'key' | 'none') {
    this.#context = context
    this.#topic = topic
    this.#group = group
    this.#ordering = ordering
  }

  get partitions(): number {
    return this.#partitions
  }

  /** Whether this transport creates the group's queues. */
  get creates(): boolean {
    return (this.#topic.groups ?? this.#topic.provision) === 'create'
  }

  /** Makes or checks topic and group. */
  async provision(): Promise<GroupState> {
    this.#partitions = await provisionTopic(this.#context, this.#topic)
    return provisionGroup(this.#context, this.#spec)
  }

  /** Whether the group's first queue exists. */
  async exists(): Promise<boolean> {
    return (
      (await passiveConsumers(this.#context.connection, groupNames(this.#topic.brokerTopic, this.#group).queue(0))) !==
      undefined
    )
  }

  /** Resolves when the broker answers; binds again what was deleted and made again, if this transport makes things. */
  async check(): Promise<void> {
    const { connection } = this.#context
    if (this.#topic.provision !== 'create') await connection.withChannel('probe', async () => {})
    else await connection.withChannel('probe', (channel) => rebind(channel, this.#spec)).catch(unlessQueueMissing)
  }

  /** Makes a partition's queue again after it was deleted, where this transport makes things. */
  async restore(partition: number): Promise<void> {
    if (this.#topic.provision !== 'create') return
    const { connection } = this.#context
    await provisionTopic(this.#context, this.#topic)
    await provisionQueue(this.#context, this.#spec, partition)
    await connection.withChannel('bind again', (channel) => rebindOthers(channel, this.#spec)).catch(unlessQueueMissing)
  }

  get #spec(): GroupSpec {
    return { topic: this.#topic, group: this.#group, ordering: this.#ordering, partitions: this.#partitions }
  }
}

/** A queue that is gone is made again and bound by its own consumer, which the broker has cancelled. The broker lives. */
function unlessQueueMissing(error: unknown): void {
  if (replyCodeOf(error) !== 404) throw error
}
