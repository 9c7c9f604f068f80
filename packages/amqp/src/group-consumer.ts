import {
  atMost,
  type ConsumerSink,
  type Delivery,
  type Logger,
  type PartitionAssignment,
  type PartitionLag,
  type TopicSpec,
  topicMissing,
} from '@streamswitch/core/driver'
import type { Channel, ConsumeMessage } from 'amqplib'
import { assignPartitions } from './assign-partitions.js'
import { AttemptStore } from './attempt-store.js'
import type { AmqpConnection } from './connection.js'
import type { ControlChannel } from './control-channel.js'
import type { DropTarget } from './dropped-watch.js'
import type { Epochs } from './epochs.js'
import { classifyError, queuesDeleted } from './errors.js'
import type { Binding } from './existing-exchange.js'
import { GroupTopology } from './group-topology.js'
import type { HeldMessages } from './held-messages.js'
import { readLag } from './lag.js'
import { Membership } from './membership.js'
import { fingerprintOf } from './message.js'
import { type GroupNames, groupNames, type SharedNames } from './names.js'
import { PartitionConsumer } from './partition-consumer.js'
import { Redeliveries } from './redeliveries.js'
import type { TopicRegistry } from './topic-registry.js'

/** How long a member that joins waits for the broker's answers about its consumers, in milliseconds. */
const ANSWERS_MS = 5_000

export interface GroupConsumerSettings {
  readonly connection: AmqpConnection
  readonly control: ControlChannel
  readonly registry: TopicRegistry
  readonly shared: SharedNames
  readonly logger: Logger
  readonly held: HeldMessages
  readonly epochs: Epochs
  readonly instance: string
  /** As the user names it. */
  readonly group: string
  /** As names have it: see `groupPart`. */
  readonly part: string
  /** As headers call it. */
  readonly groupOrigin: string
  /** Bindings to a native exchange. Default: the group receives everything. */
  readonly bindings: readonly Binding[] | undefined
  readonly ordering: 'key' | 'none'
  readonly prefetch: number
  readonly memberIntervalMs: number
  readonly sink: ConsumerSink
  readonly lost: (error: unknown) => void
  /** The loop has other topics, which go on when this one is gone. */
  readonly beside: boolean
  /** Members came, went, or changed what they hold. */
  readonly membersChanged: () => void
}

/**
 * Consumer priorities: the broker makes the highest one active, and lets a newcomer with a higher one take over. Standbys are
 * equal, so that none of them takes over from another.
 */
const WANTED_PRIORITY = 1
const STANDBY_PRIORITY = 0

/** One member's part in the group of one topic: its queues, and who else is there. */
export class GroupConsumer implements DropTarget {
  readonly topic: string
  readonly origin: string
  readonly group: string
  readonly groupOrigin: string
  readonly names: GroupNames
  readonly #spec: TopicSpec
  readonly #settings: GroupConsumerSettings
  readonly #topology: GroupTopology
  readonly #stores: AttemptStore[] = []
  #consumers: PartitionConsumer[] = []
  #membership: Membership | undefined
  /** Those that are registered as the ones that should have their partition. */
  readonly #wanted = new Set<PartitionConsumer>()
  /** The last answer to who should have each partition, and what it was worked out from. */
  #shares: { readonly by: string; readonly owners: readonly string[] } = { by: '', owners: [] }
  #ready = false
  #started = false
  /** The topic or the group was deleted, and this transport doesn't create it. */
  #missing = false
  #ended = false

  constructor(settings: GroupConsumerSettings, spec: TopicSpec) {
    this.topic = spec.topic
    this.origin = spec.origin
    this.#spec = spec
    this.#settings = settings
    this.group = settings.group
    this.groupOrigin = settings.groupOrigin
    this.names = groupNames(spec, settings.part)
    this.#topology = new GroupTopology(settings, spec, settings.part, settings.ordering, settings.bindings)
  }

  /** Makes topic and group, registers a consumer for each partition, and takes the partitions that are free and this member's. */
  async join(): Promise<void> {
    const { ordering, sink } = this.#settings
    const { consumers, recreated } = await this.#topology.provision()
    if (recreated) sink.report(queuesDeleted(this.topic, this.group))
    const { partitions } = this.#topology
    for (let partition = 0; partition < partitions; partition += 1) this.#consumers.push(this.#consumer(partition))
    const membership = this.#member()
    this.#membership = membership
    await membership.join(consumers > 0)
    const owners = this.#owners()
    // All channels first, then all consumers at once: the messages of the first would hold back the answers to the others behind a slow link.
    const channels = await Promise.all(this.#consumers.map((consumer) => consumer.prepare()))
    const consuming = Promise.all(
      this.#consumers.map((consumer, index) => {
        const isWanted = owners[consumer.partition] === this.#settings.instance
        return consumer.consume(channels[index] as Channel, this.#priority(consumer, isWanted))
      }),
    )
    const failure = consuming.then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const early = await atMost(failure, ANSWERS_MS)
    if (early !== undefined) throw early.error
    // Some answers may still wait behind deliveries: the member has joined, and its calls have deadlines of their own.
    void failure.then((late) => {
      if (late !== undefined && !this.#ended) this.#settings.lost(late.error)
    })
    if (ordering === 'none') for (const consumer of this.#consumers) consumer.assign()
    this.#ready = true
    this.#reconsider()
    membership.announce()
  }

  get creates(): boolean {
    return this.#topology.creates
  }

  get partitions(): number {
    return this.#consumers.length
  }

  /** Whether this member does what one member does for all. */
  get leads(): boolean {
    const { instance } = this.#settings
    return this.#ready && !this.#ended && (this.#membership?.sharers ?? []).every((other) => other >= instance)
  }

  /** Partitions that core knows to be this member's. */
  owns(): readonly number[] {
    return this.#consumers.filter((consumer) => consumer.assignment !== undefined).map((consumer) => consumer.partition)
  }

  /** Whether there is a partition that should be this member's. */
  get wantsAny(): boolean {
    return this.#settings.ordering === 'none' || this.#wanted.size > 0
  }

  ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    this.#consumers[assignment.partition]?.ack(assignment, deliveries)
  }

  release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    this.#consumers[assignment.partition]?.release(assignment, deliveries)
  }

  /**
   * A suspect is about to run. What ran before it must have been acked for sure: it would come again as a suspect, once more for
   * each death that this one causes, and be given up in the end although it did nothing.
   */
  async starting(assignment: PartitionAssignment, delivery: Delivery, attempt: number): Promise<void> {
    // Core writes the acks of this turn of the event loop at its end.
    await new Promise<void>((resolve) => setImmediate(resolve))
    await this.#consumers[assignment.partition]?.acksTaken()
    await this.note(assignment, delivery, attempt)
  }

  async note(assignment: PartitionAssignment, delivery: Delivery, attempt: number): Promise<void> {
    // Lost meanwhile: the record is another member's.
    if (this.#consumers[assignment.partition]?.holds(assignment, delivery) !== true) return
    await this.#stores[assignment.partition]?.note(fingerprintOf(delivery.native as ConsumeMessage), attempt)
  }

  async lag(): Promise<PartitionLag[]> {
    if (this.#missing) return []
    const { connection, control, instance } = this.#settings
    const members = (this.#membership?.peers.length ?? 0) + 1
    return readLag({
      connection,
      control,
      names: this.names,
      topic: this.topic,
      partitions: this.#consumers.length,
      asker: instance,
      members,
    })
  }

  /** Adds how many messages wait in the queues of this member's partitions. One that holds its prefetch gets no more until it acks. */
  async countUndelivered(channel: Channel, counts: Map<PartitionAssignment, number>): Promise<void> {
    for (const consumer of this.#consumers) {
      const { assignment, partition, unacked } = consumer
      if (assignment === undefined) continue
      const { messageCount } = await channel.checkQueue(this.names.queue(partition))
      counts.set(assignment, unacked < this.#settings.prefetch ? messageCount : 0)
    }
  }

  async probe(): Promise<void> {
    if (this.#missing) await this.#rejoin()
    else await this.#topology.check()
  }

  /**
   * Does without a topic that was deleted, until it is there again: the loop's other topics go on. False where that isn't what happened,
   * or the loop has no other.
   */
  leaveOut(error: unknown): boolean {
    const { code } = classifyError(error, 'consume', this.topic)
    if (code !== 'NOT_FOUND' || this.creates || !this.#settings.beside || this.#settings.connection.gone) return false
    if (!this.#missing) this.#settings.sink.report(topicMissing('amqp', this.#spec))
    this.#missing = true
    return true
  }

  async #rejoin(): Promise<void> {
    try {
      if (this.#consumers.some((consumer) => consumer.isOpen)) {
        for (const consumer of this.#consumers) await this.#change(consumer, () => this.#reopen(consumer))
      } else {
        if (!(await this.#topology.exists())) return
        // Nothing is left of it: its exchanges, to which the members' queues were bound, are gone as well.
        await this.#forget()
        await this.join()
      }
    } catch (error) {
      if (this.leaveOut(error)) return
      throw error
    }
    if (this.#consumers.length === 0 || !this.#consumers.every((consumer) => consumer.isOpen)) return
    this.#missing = false
    if (this.#started) this.start()
  }

  async #forget(): Promise<void> {
    this.#ready = false
    await this.#membership?.end()
    this.#membership = undefined
    for (const consumer of this.#consumers) consumer.close()
    this.#consumers = []
    this.#stores.length = 0
    this.#wanted.clear()
  }

  async #reopen(consumer: PartitionConsumer): Promise<void> {
    if (this.#ended || consumer.isOpen) return
    await this.#open(consumer, this.#owners()[consumer.partition] === this.#settings.instance)
    if (this.#settings.ordering === 'none') consumer.assign()
  }

  /** Hands deliveries to core from now on. */
  start(): void {
    this.#started = true
    for (const consumer of this.#consumers) consumer.start()
  }

  stop(): void {
    this.#ended = true
    for (const consumer of this.#consumers) consumer.stop()
  }

  /** Notes what goes back unstarted and says goodbye. Never rejects. */
  async leave(): Promise<void> {
    this.stop()
    await Promise.all(this.#consumers.map((consumer) => consumer.serialize(() => consumer.end())))
    await this.#membership?.leave()
  }

  /** Ends without a word. */
  drop(): void {
    this.stop()
    this.#membership?.drop()
    for (const consumer of this.#consumers) consumer.close()
  }

  connectionLost(): void {
    this.#ended = true
    this.#membership?.drop()
    for (const consumer of this.#consumers) consumer.connectionLost()
  }

  #consumer(partition: number): PartitionConsumer {
    const { connection, control, logger, ordering, held, epochs, prefetch, sink } = this.#settings
    const shared = ordering === 'none'
    const store = new AttemptStore({
      queue: this.names.attempts(partition),
      topic: this.topic,
      connection,
      control,
      logger,
      shared,
    })
    this.#stores.push(store)
    return new PartitionConsumer({
      topic: this.topic,
      origin: this.origin,
      partition,
      queue: this.names.queue(partition),
      prefetch,
      connection,
      sink,
      epochs,
      redeliveries: new Redeliveries(this.names.queue(partition), store, held),
      shared,
      promoted: (consumer) => this.#membership?.passedOver(consumer.partition),
      interrupted: (consumer, error, cancelled) => void this.#restore(consumer, error, cancelled),
    })
  }

  #member(): Membership {
    const { connection, control, logger, instance, memberIntervalMs, prefetch, lost } = this.#settings
    return new Membership({
      names: this.names,
      connection,
      control,
      logger,
      intervalMs: memberIntervalMs,
      prefetch,
      deaf: lost,
      member: {
        instance,
        ready: () => this.#ready,
        owns: () => this.owns(),
        unacked: () =>
          Object.fromEntries(
            this.#consumers
              .filter((consumer) => consumer.unacked > 0)
              .map((consumer) => [consumer.partition, consumer.unacked]),
          ),
        changed: () => this.#reconsider(),
      },
    })
  }

  /** Who should have each partition. Asked with whatever a member says, and worked out only when others share them. */
  #owners(): readonly string[] {
    const { ordering, instance } = this.#settings
    const sharers = ordering === 'none' ? [instance] : (this.#membership?.sharers ?? [instance])
    const by = `${this.#consumers.length} ${[...sharers].sort().join(' ')}`
    if (by !== this.#shares.by) this.#shares = { by, owners: assignPartitions(sharers, this.#consumers.length) }
    return this.#shares.owners
  }

  /** Takes partitions that are free and should be this member's, hands over those that somebody else should have. */
  #reconsider(): void {
    this.#settings.membersChanged()
    const membership = this.#membership
    if (this.#settings.ordering === 'none' || !this.#ready || this.#ended || membership === undefined) return
    const owners = this.#owners()
    let taken = false
    for (const consumer of this.#consumers) {
      if (consumer.isChanging || !consumer.isOpen) continue
      const owner = owners[consumer.partition] as string
      const wanted = owner === this.#settings.instance
      if (consumer.assignment !== undefined) this.#reconsiderOwned(consumer, owner, membership)
      else if (wanted !== this.#wanted.has(consumer)) void this.#changeRank(consumer)
      else if (wanted && !membership.isHeld(consumer.partition)) {
        consumer.assign()
        taken = true
      }
    }
    if (taken) membership.announce()
  }

  #reconsiderOwned(consumer: PartitionConsumer, owner: string, membership: Membership): void {
    if (owner !== this.#settings.instance) {
      if (membership.takes(owner, consumer.partition)) void this.#handOver(consumer)
    } else if (!this.#wanted.has(consumer) && consumer.unacked === 0) void this.#raiseRank(consumer)
  }

  async #open(consumer: PartitionConsumer, wanted: boolean): Promise<void> {
    await consumer.open(this.#priority(consumer, wanted))
  }

  /** Notes whether the partition should be this member's. Returns the priority of its consumer. */
  #priority(consumer: PartitionConsumer, wanted: boolean): number {
    if (wanted) this.#wanted.add(consumer)
    else this.#wanted.delete(consumer)
    return wanted ? WANTED_PRIORITY : STANDBY_PRIORITY
  }

  async #handOver(consumer: PartitionConsumer): Promise<void> {
    await this.#change(consumer, async () => {
      await consumer.handOver()
      this.#membership?.announce()
      if (!this.#ended) await this.#open(consumer, false)
    })
  }

  /** A standby becomes the one that should have the partition, or is it no longer: the broker must know. */
  async #changeRank(consumer: PartitionConsumer): Promise<void> {
    await this.#change(consumer, async () => {
      // Meanwhile the broker may have made it the active one.
      if (this.#ended || consumer.assignment !== undefined) return
      await consumer.end()
      await this.#open(consumer, this.#owners()[consumer.partition] === this.#settings.instance)
    })
  }

  /**
   * A standby has become the owner, and should be. With a standby's priority it would lose the partition to any newcomer, without a word from
   * the broker, and one that gives it up again would leave it to whichever standby is next.
   */
  async #raiseRank(consumer: PartitionConsumer): Promise<void> {
    await this.#change(consumer, async () => {
      if (this.#ended || consumer.assignment === undefined || consumer.unacked > 0) return
      if (this.#owners()[consumer.partition] !== this.#settings.instance) return
      await consumer.openAgain(this.#priority(consumer, true))
      this.#membership?.announce()
    })
  }

  /** The broker closed a partition's channel, or its queue is gone: the rest of the group goes on. */
  async #restore(consumer: PartitionConsumer, error: unknown, cancelled: boolean): Promise<void> {
    if (this.#ended) return
    this.#settings.sink.report(classifyError(error, 'consume', this.topic))
    await this.#change(consumer, async () => {
      if (this.#ended || consumer.isOpen) return
      if (cancelled) await this.#topology.restore(consumer.partition)
      await this.#reopen(consumer)
    })
  }

  async #change(consumer: PartitionConsumer, change: () => Promise<void>): Promise<void> {
    try {
      await consumer.serialize(change)
    } catch (error) {
      if (!this.#ended && !this.leaveOut(error)) this.#settings.lost(error)
    }
    this.#reconsider()
  }
}
