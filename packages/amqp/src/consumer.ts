import {
  type AttemptJournal,
  atMost,
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  type PartitionAssignment,
  type PartitionLag,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import type { AmqpConnection } from './connection.js'
import { ControlChannel } from './control-channel.js'
import { DroppedWatch } from './dropped-watch.js'
import { classifyError, notConnected } from './errors.js'
import { GroupConsumer, type GroupConsumerSettings } from './group-consumer.js'
import { groupPart } from './names.js'
import { type AmqpConsumerSettings, bindingsFor } from './options.js'
import { commonOf, type Shared } from './shared.js'

/**
 * Maximum wait for the first partition, in milliseconds: others may have handlers to finish before they hand one over.
 */
const FIRST_ASSIGNMENT_MS = 1_000
const ASSIGNMENT_POLL_MS = 5
/** Goodbyes must not hold up a close for longer, in milliseconds. */
const GOODBYE_MS = 5_000
/** The protocol's largest prefetch. */
export const MAX_PREFETCH = 65_535

/** A loop's membership in the groups of its topics, on a separate connection. */
export class AmqpConsumerDriver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'core'
  readonly settleIntervalMs = 0
  readonly attempts: AttemptJournal
  readonly #shared: Shared
  readonly #spec: ConsumerSpec<AmqpConsumerSettings>
  readonly #sink: ConsumerSink
  readonly #instance: string
  readonly #control: ControlChannel
  #connection: AmqpConnection | undefined
  #groups: GroupConsumer[] = []
  #dropped: DroppedWatch[] = []
  #joined = false
  #lost = false
  #checking: Promise<unknown> | undefined
  #closing: Promise<void> | undefined

  constructor(shared: Shared, spec: ConsumerSpec<AmqpConsumerSettings>, sink: ConsumerSink) {
    this.#shared = shared
    this.#spec = spec
    this.#sink = sink
    // Another one for each connection. No secret: it only has to differ.
    this.#instance = `${spec.member.slice(0, 100)}-${Math.random().toString(36).slice(2)}`
    this.#control = new ControlChannel(shared.publishing)
    this.attempts = {
      starting: async (...what) => this.#groupOf(what[0])?.starting(...what),
      failed: async (...what) => this.#groupOf(what[0])?.note(...what),
    }
  }

  get waitingFor(): string {
    const { length } = this.#spec.topics
    if (length > 1 && this.#groups.length > 0 && !this.#joined)
      return `the group's queues and partitions of topic ${this.#groups.length} of ${length}, which are joined one after the other: many topics need a larger connectTimeoutMs`
    return this.#connection === undefined
      ? 'the broker to accept the connection'
      : "the group's queues and the assignment of its partitions"
  }

  async open(signal: AbortSignal): Promise<void> {
    const { connect, clientId } = this.#shared
    const connection = await connect(`${clientId} consumer ${this.#spec.group}`, signal)
    this.#connection = connection
    connection.listen({ lost: (error) => this.#connectionLost(error) })
    for (const topic of this.#spec.topics) {
      signal.throwIfAborted()
      const group = new GroupConsumer(this.#groupSettings(connection, topic), topic)
      this.#groups.push(group)
      await this.#join(group)
    }
    if (this.#groups.every((group) => group.partitions === 0))
      throw topicMissing('amqp', this.#spec.topics[0]?.topic ?? '')
    this.#shared.joined.add(this.#spec)
    this.#watchDropped(connection)
    signal.throwIfAborted()
    await this.#firstAssignment(signal)
    this.#joined = true
    // Core takes acks once it has seen that this is open, and not before.
    setImmediate(() => {
      for (const group of this.#groups) group.start()
    })
  }

  /** Topics that aren't below the prefix have another stream of dropped messages. */
  #watchDropped(connection: AmqpConnection): void {
    const { logger } = this.#shared
    for (const shared of new Set(this.#spec.topics.map((topic) => commonOf(this.#shared, topic).shared))) {
      const targets = this.#groups.filter((_, index) => {
        const topic = this.#spec.topics[index]
        return topic !== undefined && commonOf(this.#shared, topic).shared === shared
      })
      const watch = new DroppedWatch({ connection, control: this.#control, shared, logger, sink: this.#sink, targets })
      this.#dropped.push(watch)
      watch.refresh()
    }
  }

  /** A topic that is missing when the loop starts is an error; one that was deleted since is skipped. */
  async #join(group: GroupConsumer): Promise<void> {
    try {
      await group.join()
    } catch (error) {
      if (!this.#shared.joined.has(this.#spec) || !group.leaveOut(error)) throw error
    }
  }

  /** Waits a moment for partitions handed over by others. If there will be none, reports that to core. */
  async #firstAssignment(signal: AbortSignal): Promise<void> {
    const none = (): boolean => this.#groups.every((group) => group.owns().length === 0)
    if (this.#groups.every((group) => !group.wantsAny)) return none() ? this.#sink.assigned([]) : undefined
    const deadline = performance.now() + FIRST_ASSIGNMENT_MS
    while (none() && performance.now() < deadline && !signal.aborted)
      await new Promise<void>((resolve) => setTimeout(resolve, ASSIGNMENT_POLL_MS))
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#groupOf(assignment)?.ack(assignment, deliveries)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#groupOf(assignment)?.release(assignment, deliveries)
  }

  /**
   * Rejects with UNAVAILABLE while disconnected, and before it has joined: the lag is unknown then, which is not zero.
   */
  async lag(): Promise<readonly PartitionLag[]> {
    const topic = this.#spec.topics[0]?.topic
    if (!this.#joined || this.#lost || this.#connection?.gone !== false) throw notConnected(topic)
    try {
      return (await Promise.all(this.#groups.map((group) => group.lag()))).flat()
    } catch (error) {
      throw classifyError(error, 'lag', topic)
    }
  }

  /**
   * Returns the messages that the broker could have delivered to this member and has not, by its partitions. Doesn't
   * ask other members, as `lag` does: in a large idle group, the answers of all to each other took longer than the
   * stall watch waits.
   */
  async undelivered(): Promise<ReadonlyMap<PartitionAssignment, number>> {
    const connection = this.#connection
    if (!this.#joined || connection === undefined) return new Map()
    return connection.withChannel('count waiting messages', async (channel) => {
      const counts = new Map<PartitionAssignment, number>()
      for (const group of this.#groups) await group.countUndelivered(channel, counts)
      return counts
    })
  }

  /** What a check finds counts, also when it comes after another sign of life. */
  async probe(): Promise<void> {
    if (this.#checking === undefined) {
      this.#checking = Promise.all(this.#groups.map((group) => group.probe())).finally(() => {
        this.#checking = undefined
      })
      this.#checking.catch((error: unknown) => this.#lose(error))
    }
    await this.#connection?.signOfLife(this.#checking)
  }

  async stop(): Promise<void> {
    for (const group of this.#groups) group.stop()
    await this.#closeDropped()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const connection = this.#connection
    await this.#closeDropped()
    if (connection !== undefined && !connection.gone)
      await atMost(Promise.all(this.#groups.map((group) => group.leave())), GOODBYE_MS)
    for (const group of this.#groups) group.drop()
    await connection?.close()
    await atMost(this.#control.close(), GOODBYE_MS)
  }

  async #closeDropped(): Promise<void> {
    await Promise.all(this.#dropped.map((watch) => watch.close()))
  }

  #groupSettings(connection: AmqpConnection, topic: TopicSpec): GroupConsumerSettings {
    const { settings, logger, held, epochs, prefix } = this.#shared
    const { registry, shared } = commonOf(this.#shared, topic)
    const { group, groupOrigin, brokerGroup, options } = this.#spec
    return {
      connection,
      control: this.#control,
      registry,
      shared,
      logger,
      held,
      epochs,
      instance: this.#instance,
      group,
      part: groupPart(topic, brokerGroup, prefix),
      groupOrigin,
      bindings: bindingsFor(settings, options, topic),
      ordering: this.#spec.ordering,
      prefetch: Math.min(this.#spec.prefetch, MAX_PREFETCH),
      memberIntervalMs: settings.memberIntervalMs,
      sink: this.#sink,
      lost: (error) => this.#lose(error),
      beside: this.#spec.topics.length > 1,
      membersChanged: () => {
        for (const watch of this.#dropped) watch.refresh()
      },
    }
  }

  #groupOf(assignment: PartitionAssignment): GroupConsumer | undefined {
    return this.#groups.find((group) => group.topic === assignment.topic)
  }

  #connectionLost(error: unknown): void {
    if (this.#closing !== undefined) return
    for (const group of this.#groups) group.connectionLost()
    this.#lose(error)
  }

  #lose(error: unknown): void {
    if (this.#lost || this.#closing !== undefined) return
    this.#lost = true
    this.#sink.lost(error)
  }
}
