import { messageOf, type TopicSpec } from '@streamswitch/core/driver'
import { replyCodeOf } from './errors.js'
import { type Binding, bindingsOf, exchangeMissing } from './existing-exchange.js'
import { KeptChannel, withoutAnswers } from './kept-channel.js'
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

/** The objects on the broker for one group of one topic: created once, and checked since. */
export class GroupTopology {
  readonly #context: TopologyContext
  readonly #topic: TopicSpec
  readonly #group: string
  readonly #ordering: 'key' | 'none'
  readonly #wantedBindings: readonly Binding[] | undefined
  #bindings: readonly Binding[] | undefined
  #partitions = 0
  readonly #probes: KeptChannel

  /** @param bindings - to a native exchange; default: the group receives everything. */
  constructor(
    context: TopologyContext,
    topic: TopicSpec,
    group: string,
    ordering: 'key' | 'none',
    bindings?: readonly Binding[],
  ) {
    this.#wantedBindings = bindings
    this.#context = context
    this.#probes = new KeptChannel(context.connection)
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
    if (this.#topic.native && this.creates)
      this.#bindings = await bindingsOf(this.#context.connection, this.#topic, this.#wantedBindings)
    return provisionGroup(this.#context, this.#spec)
  }

  /** Whether the group's first queue exists. */
  async exists(): Promise<boolean> {
    return (
      (await passiveConsumers(this.#context.connection, groupNames(this.#topic, this.#group).queue(0))) !== undefined
    )
  }

  /** Resolves when the broker answers; restores deleted bindings, if this transport creates objects. */
  async check(): Promise<void> {
    await this.#probes
      .run('probe', async (channel) => {
        if (this.#looksAfter) await rebind(withoutAnswers(channel), this.#spec)
        // Every broker has it, and answers once it has done what came before.
        await channel.checkExchange('amq.fanout')
      })
      .catch((error) => {
        if (this.#looksAfter) this.#unlessQueueMissing(error)
        else throw error
      })
  }

  /** Makes a partition's queue again after it was deleted, where this transport makes things. */
  async restore(partition: number): Promise<void> {
    if (!this.#looksAfter) return
    const { connection } = this.#context
    await provisionTopic(this.#context, this.#topic)
    await provisionQueue(this.#context, this.#spec, partition)
    if (this.#topic.native) return
    await connection
      .withChannel('bind again', (channel) => rebindOthers(channel, this.#spec))
      .catch((error) => this.#unlessQueueMissing(error))
  }

  /** Whether deleted objects are recreated. Topics found by a pattern may be deleted by their owners. */
  get #looksAfter(): boolean {
    return this.#topic.native ? this.creates : this.#topic.provision === 'create'
  }

  /**
   * A queue that is gone is recreated and bound by its own consumer, which the broker has cancelled. The broker is
   * alive.
   */
  #unlessQueueMissing(error: unknown): void {
    if (replyCodeOf(error) !== 404) throw error
    if (this.#topic.native && /no exchange/.test(messageOf(error))) throw exchangeMissing(this.#topic)
  }

  get #spec(): GroupSpec {
    return {
      topic: this.#topic,
      group: this.#group,
      ordering: this.#ordering,
      partitions: this.#partitions,
      bindings: this.#bindings,
    }
  }
}
