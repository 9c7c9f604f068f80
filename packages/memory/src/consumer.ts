import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  type PartitionAssignment,
  type PartitionLag,
  type StartPosition,
  startOf,
  type TopicSpec,
} from '@streamswitch/core/driver'
import type { MemoryBroker } from './connection.js'
import type { Group, Member } from './group.js'
import type { Log } from './log.js'
import type { Topic } from './topic.js'

/** Maximum number of messages per fetch: small enough that members without order share fairly. */
const FETCH_LIMIT = 500

/** A loop's membership in the groups of its topics. */
export class MemoryConsumerDriver implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'core'
  readonly settleIntervalMs = 0
  readonly #broker: MemoryBroker
  readonly #spec: ConsumerSpec
  readonly #sink: ConsumerSink
  readonly #maxBytes: number
  readonly #memberships: Membership[] = []

  constructor(broker: MemoryBroker, spec: ConsumerSpec, sink: ConsumerSink, maxBytes: number) {
    this.#broker = broker
    this.#spec = spec
    this.#sink = sink
    this.#maxBytes = maxBytes
  }

  async open(): Promise<void> {
    for (const spec of this.#spec.topics) {
      const topic = this.#broker.provision(spec, this.#maxBytes)
      if (topic.group(this.#spec.brokerGroup) !== undefined) this.#sink.startIgnored(spec.topic)
      const group = topic.ensureGroup(this.#spec.brokerGroup, (partition) =>
        offsetOf(startOf(this.#spec.from, partition), spec.topic, partition, topic.logs[partition] as Log, this.#sink),
      )
      const membership = new Membership(spec, topic, group, this.#sink, this.#spec.ordering)
      this.#memberships.push(membership)
      membership.join()
    }
    if (this.#memberships.every((membership) => membership.assignments.length === 0)) this.#sink.assigned([])
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#membershipOf(assignment)?.ack(assignment, deliveries)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.#membershipOf(assignment)?.release(assignment, deliveries)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    this.#memberships
      .find((membership) => membership.topicName === assignment.topic)
      ?.seek(assignment.partition, position)
  }

  async lag(): Promise<readonly PartitionLag[]> {
    return this.#memberships.flatMap((membership) =>
      membership.group.partitions.map((partition, number) => ({
        topic: membership.topicName,
        partition: number,
        lag: partition.lag,
      })),
    )
  }

  async stop(): Promise<void> {
    for (const membership of this.#memberships) membership.stop()
  }

  async close(): Promise<void> {
    for (const membership of this.#memberships) membership.leave()
  }

  #membershipOf(assignment: PartitionAssignment): Membership | undefined {
    return this.#memberships.find((membership) => membership.assignments.includes(assignment))
  }
}

/** One member's share of one group: the partitions it owns and the messages it has taken. */
class Membership implements Member {
  readonly topicName: string
  readonly #origin: string
  readonly group: Group
  readonly #topic: Topic
  readonly #sink: ConsumerSink
  readonly #ordering: 'key' | 'none'
  readonly #owned = new Map<number, PartitionAssignment>()
  /** Offsets that were taken and are not acked, when several members share a partition. */
  readonly #taken = new Map<PartitionAssignment, Set<number>>()
  readonly #waitingForRoom = new Set<PartitionAssignment>()
  #stopped = false

  constructor(spec: TopicSpec, topic: Topic, group: Group, sink: ConsumerSink, ordering: 'key' | 'none') {
    this.topicName = spec.topic
    this.#origin = spec.origin
    this.#topic = topic
    this.group = group
    this.#sink = sink
    this.#ordering = ordering
  }

  get assignments(): PartitionAssignment[] {
    return [...this.#owned.values()]
  }

  join(): void {
    this.group.join(this, this.#ordering)
  }

  owns(partition: number): boolean {
    return this.#owned.has(partition)
  }

  assign(partition: number): void {
    const state = this.group.partitions[partition]
    if (state === undefined) return
    state.epoch += 1
    const assignment = { topic: this.topicName, origin: this.#origin, partition, epoch: state.epoch }
    this.#owned.set(partition, assignment)
    this.#taken.set(assignment, new Set())
    this.#sink.assigned([assignment])
    this.#fetch(assignment)
  }

  async revoke(partition: number): Promise<void> {
    const assignment = this.#owned.get(partition)
    if (assignment === undefined) return
    await this.#sink.revoked([assignment], 'graceful')
    this.#letGo(assignment)
  }

  wake(): void {
    for (const assignment of this.#owned.values()) this.#fetch(assignment)
  }

  ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    const state = this.group.partitions[assignment.partition]
    const taken = this.#taken.get(assignment)
    for (const delivery of deliveries) {
      state?.ack(delivery.position as number)
      if (this.#ordering === 'none') taken?.delete(delivery.position as number)
    }
  }

  release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    // With an owner per partition, releasing it rewinds to the first unacked message anyway.
    if (this.#ordering === 'key') return
    const offsets = deliveries.map((delivery) => delivery.position as number)
    for (const offset of offsets) this.#taken.get(assignment)?.delete(offset)
    this.group.partitions[assignment.partition]?.giveBack(offsets)
    this.group.wake()
  }

  seek(partition: number, position: StartPosition): void {
    const offset = offsetOf(position, this.topicName, partition, this.#topic.logs[partition] as Log, this.#sink)
    const old = this.#owned.get(partition)
    if (old !== undefined) this.#letGo(old)
    this.group.partitions[partition]?.seek(offset)
    this.assign(partition)
  }

  stop(): void {
    this.#stopped = true
  }

  leave(): void {
    this.#stopped = true
    for (const assignment of this.assignments) this.#letGo(assignment)
    this.group.leave(this)
  }

  #letGo(assignment: PartitionAssignment): void {
    if (this.#owned.get(assignment.partition) === assignment) this.#owned.delete(assignment.partition)
    const state = this.group.partitions[assignment.partition]
    if (this.#ordering === 'key') state?.rewind()
    else state?.giveBack(this.#taken.get(assignment) ?? [])
    this.#taken.delete(assignment)
  }

  #fetch(assignment: PartitionAssignment): void {
    const state = this.group.partitions[assignment.partition]
    while (
      state !== undefined &&
      !this.#stopped &&
      !this.#waitingForRoom.has(assignment) &&
      this.#owned.get(assignment.partition) === assignment
    ) {
      const share =
        this.#ordering === 'none' ? Math.ceil(state.deliverable / Math.max(1, this.group.members)) : FETCH_LIMIT
      const deliveries = state.take(Math.min(FETCH_LIMIT, share, this.#sink.capacity(assignment)), assignment)
      if (deliveries.length === 0) return
      if (this.#ordering === 'none')
        for (const { position } of deliveries) this.#taken.get(assignment)?.add(position as number)
      const room = this.#sink.deliver(assignment, deliveries)
      if (room === undefined) continue
      this.#waitingForRoom.add(assignment)
      void room.then(() => {
        this.#waitingForRoom.delete(assignment)
        this.#fetch(assignment)
      })
    }
  }
}

/** Returns the offset of a start position, within what is kept. */
function offsetOf(
  position: StartPosition | undefined,
  topic: string,
  partition: number,
  log: Log,
  sink: ConsumerSink,
): number {
  const offset = log.resolve(position)
  if (log.holds(offset)) return offset
  const [first, last] = log.start === log.end ? [] : [String(log.start), String(log.end - 1)]
  return log.resolve(sink.outOfRange({ topic, partition, offset: String(offset), first, last }))
}
