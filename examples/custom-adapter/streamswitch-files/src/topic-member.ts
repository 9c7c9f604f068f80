import type {
  ConsumerSink,
  ConsumerSpec,
  PartitionAssignment,
  PartitionLag,
  StartPosition,
  TopicSpec,
} from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { lostPartition } from './errors.js'
import { openGroup } from './group.js'
import { partitionLag } from './lag.js'
import { Lease } from './lease.js'
import { Membership } from './membership.js'
import { PartitionReader } from './partition-reader.js'
import { groupFolder, handoverFile, ownerFolder } from './paths.js'
import { RecordCount } from './record-count.js'
import { ChangeSignal } from './signal.js'
import { positionOf, withinLog } from './start-position.js'
import type { Topic } from './topics.js'

/** A partition held by this member. */
interface Held {
  readonly assignment: PartitionAssignment
  readonly lease: Lease
  readonly reader: PartitionReader
  /** It is being handed over, or moved to another offset. */
  leaving: boolean
}

/** This member's share of one topic of the subscription: the partitions it owns, and what it has acked there. */
export class TopicMember {
  readonly topic: Topic
  readonly #group: string
  readonly #connection: Connection
  readonly #sink: ConsumerSink
  readonly #failed: (error: unknown) => void
  readonly #membership: Membership
  readonly #held = new Map<number, Held>()
  readonly #counts = new Map<number, RecordCount>()
  readonly #signal: ChangeSignal
  #renewedAt = 0
  #taking = true
  #closed = false
  #tending: Promise<void> = Promise.resolve()

  private constructor(
    connection: Connection,
    topic: Topic,
    spec: ConsumerSpec,
    sink: ConsumerSink,
    failed: (error: unknown) => void,
  ) {
    const { leaseMs, pollMs } = connection.settings
    this.#connection = connection
    this.topic = topic
    this.#sink = sink
    this.#failed = failed
    this.#group = groupFolder(topic.folder, spec.brokerGroup)
    this.#membership = new Membership(this.#group, spec.member, leaseMs)
    this.#signal = new ChangeSignal(handoverFile(this.#group), Math.min(pollMs, leaseMs / 5))
  }

  /** Creates or checks topic and group, and becomes a member. */
  static async join(
    connection: Connection,
    topicSpec: TopicSpec,
    spec: ConsumerSpec,
    sink: ConsumerSink,
    failed: (error: unknown) => void,
  ): Promise<TopicMember> {
    const topic = await connection.topic(topicSpec)
    await openGroup(topic, topicSpec, spec, sink)
    const member = new TopicMember(connection, topic, spec, sink, failed)
    await member.#membership.beat()
    return member
  }

  /** Starts renewing its leases, taking free partitions, and handing over those of others. */
  tend(): void {
    this.#tending = this.#tend().catch((error) => this.#fail(error))
  }

  /** Takes free partitions of its share; hands over, in the background, those that are no longer in its share. */
  async balance(): Promise<readonly PartitionAssignment[]> {
    const share = await this.#membership.share(this.topic.partitions)
    for (const held of this.#held.values()) if (!share.has(held.assignment.partition)) this.#handOver(held)
    const taken: PartitionAssignment[] = []
    for (const partition of share) {
      if (this.#held.has(partition)) continue
      const lease = await this.#takeWithinLog(partition)
      // It may have been stopped meanwhile: nothing else would release this one.
      if (lease !== undefined && this.#taking) taken.push(this.#hold(partition, lease))
      else await lease?.release()
    }
    return taken
  }

  /** Delivers from these partitions. Call it once core knows them. */
  deliver(assignments: readonly PartitionAssignment[]): void {
    for (const { partition } of assignments) this.#held.get(partition)?.reader.start((error) => this.#fail(error))
  }

  /** Stores that everything before `position` is done. ABORTED when the partition belongs to another member. */
  async commit(assignment: PartitionAssignment, position: number): Promise<void> {
    const held = this.#held.get(assignment.partition)
    if (held?.assignment === assignment) {
      if (await held.lease.store(position)) return
      this.#lose(held)
    }
    throw lostPartition(assignment.topic, assignment.partition)
  }

  /** Continues from another offset, under a new epoch. */
  async seek(assignment: PartitionAssignment, start: StartPosition): Promise<void> {
    const { partition } = assignment
    const held = this.#held.get(partition)
    if (held?.assignment !== assignment) throw lostPartition(assignment.topic, partition)
    held.leaving = true
    held.reader.stop()
    const position = await positionOf(this.topic, partition, start, this.#sink)
    await held.reader.ended
    const lease = await this.#take(partition, held.lease)
    if (lease === undefined || !(await lease.store(position))) {
      this.#held.delete(partition)
      throw lostPartition(assignment.topic, partition)
    }
    const next = [this.#hold(partition, lease)]
    this.#sink.assigned(next)
    if (this.#taking) this.deliver(next)
  }

  async lag(): Promise<PartitionLag[]> {
    const all = Array.from({ length: this.topic.partitions }, (_, partition) => partition)
    return Promise.all(
      all.map((partition) => partitionLag(this.topic, this.#group, partition, this.#countOf(partition))),
    )
  }

  /** Delivers nothing from now on, and takes no partition. It keeps its partitions, so that acks still work. */
  stop(): void {
    this.#taking = false
    for (const { reader } of this.#held.values()) reader.stop()
  }

  /** Releases everything and leaves the group. */
  async close(): Promise<void> {
    this.stop()
    this.#closed = true
    this.#signal.close()
    await this.#tending
    await Promise.all([...this.#held.values()].map(({ lease }) => lease.release()))
    this.#held.clear()
    await this.#membership.leave()
  }

  async #tend(): Promise<void> {
    while (!this.#closed) {
      await this.#signal.wait()
      if (this.#closed) return
      await this.#keep()
      if (!this.#taking) continue
      const taken = await this.balance()
      if (taken.length === 0 || !this.#taking) continue
      this.#sink.assigned(taken)
      this.deliver(taken)
    }
  }

  /** Renews the membership and all leases when a fifth of their time has passed. */
  async #keep(): Promise<void> {
    if (Date.now() - this.#renewedAt < this.#connection.settings.leaseMs / 5) return
    this.#renewedAt = Date.now()
    await this.#membership.beat()
    const held = [...this.#held.values()]
    await Promise.all(held.map(async (one) => (await one.lease.renew()) || this.#lose(one)))
  }

  #take(partition: number, held?: Lease): Promise<Lease | undefined> {
    const { owner, settings } = this.#connection
    return Lease.take(ownerFolder(this.#group, partition), owner, settings.leaseMs, held)
  }

  async #takeWithinLog(partition: number): Promise<Lease | undefined> {
    const lease = this.#taking ? await this.#take(partition) : undefined
    if (lease === undefined) return undefined
    const position = await withinLog(this.topic, partition, lease.position, this.#sink)
    return position === lease.position || (await lease.store(position)) ? lease : undefined
  }

  #hold(partition: number, lease: Lease): PartitionAssignment {
    const assignment: PartitionAssignment = { topic: this.topic.name, partition, epoch: lease.epoch }
    const reader = new PartitionReader(this.topic, assignment, lease, this.#sink, this.#connection.settings.pollMs)
    this.#held.set(partition, { assignment, lease, reader, leaving: false })
    return assignment
  }

  #handOver(held: Held): void {
    if (held.leaving) return
    held.leaving = true
    held.reader.stop()
    const handedOver = async () => {
      await this.#sink.revoked([held.assignment], 'graceful')
      if (this.#held.get(held.assignment.partition) !== held) return
      this.#held.delete(held.assignment.partition)
      await held.lease.release()
      await this.#membership.announce()
    }
    handedOver().catch((error) => this.#fail(error))
  }

  #lose(held: Held): void {
    const { partition } = held.assignment
    if (this.#held.get(partition) !== held) return
    this.#held.delete(partition)
    held.reader.stop()
    this.#sink.revoked([held.assignment], 'lost').catch((error) => this.#fail(error))
  }

  #countOf(partition: number): RecordCount {
    const count = this.#counts.get(partition) ?? new RecordCount()
    this.#counts.set(partition, count)
    return count
  }

  #fail(error: unknown): void {
    if (!this.#closed) this.#failed(error)
  }
}
