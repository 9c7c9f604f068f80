import type {
  AttemptJournal,
  ConsumerDriver,
  ConsumerSink,
  ConsumerSpec,
  Delivery,
  Logger,
  PartitionAssignment,
  PartitionLag,
  StartPosition,
  TopicSpec,
} from '@streamswitch/core/driver'
import { StreamError } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import type { KafkaAdmin } from './admin.js'
import { decodeMetadata } from './commit-metadata.js'
import { CommitQueue } from './commit-queue.js'
import type { KafkaConnection } from './connection.js'
import { classifyError, protocolError } from './errors.js'
import { type Generation, type GroupMember, type MemberEvents, type Place, placeKey } from './group-member.js'
import { atMost } from './kafkajs-client.js'
import { checkConsumerOptions, type KafkaConsumerValues } from './options.js'
import { type IntakeHost, type IntakeStart, PartitionIntake, type Position } from './partition-intake.js'
import { PROCESS } from './process-name.js'
import { type LogRange, readRanges, resolvePosition, withinRange } from './start-offsets.js'

/** Wait before an announcement that failed is tried again, in milliseconds. */
const ANNOUNCE_AGAIN_MS = 200

/** Longest time that handlers get when partitions move, unless half of `rebalanceTimeoutMs` is less, in milliseconds. */
const LONGEST_HANDOVER_MS = 30_000

/** Longest time that noting a clean end may take, in milliseconds. */
const CLEAN_END_MS = 2_000

type Commits = CommitQueue<Position, PartitionIntake>

export interface ConsumerParts {
  readonly connection: KafkaConnection
  readonly admin: KafkaAdmin
  readonly logger: Logger
}

/** One loop's membership in its group, as core sees it. */
export class KafkaConsumerDriver implements ConsumerDriver, MemberEvents, IntakeHost {
  readonly settlement = 'cumulative'
  readonly redelivery = 'core'
  readonly settleIntervalMs: number
  readonly maxWaitingBytes: number
  readonly attempts: AttemptJournal
  readonly sink: ConsumerSink
  readonly #parts: ConsumerParts
  readonly #spec: ConsumerSpec<KafkaConsumerValues>
  readonly #topics: ReadonlyMap<string, TopicSpec>
  readonly #intakes = new Map<PartitionAssignment, PartitionIntake>()
  readonly #byPlace = new Map<string, PartitionIntake>()
  /** Made anew with each generation, so that nothing is committed under another one than its own. */
  #commits: Commits = new CommitQueue(() => Promise.resolve())
  #member: GroupMember | undefined
  #assigned = false
  #stopped = false
  #lost = false

  constructor(parts: ConsumerParts, spec: ConsumerSpec<KafkaConsumerValues>, sink: ConsumerSink) {
    checkConsumerOptions(spec.options)
    this.#parts = parts
    this.#spec = spec
    this.sink = sink
    this.#topics = new Map(spec.topics.map((topic) => [topic.brokerTopic, topic]))
    this.settleIntervalMs = spec.options.commitIntervalMs
    this.maxWaitingBytes = spec.options.fetchMaxPartitionBytes
    const note = async (assignment: PartitionAssignment, delivery: Delivery, attempt: number): Promise<void> => {
      const intake = this.#intakeOf(assignment)
      intake.attempts.set(delivery.position as number, attempt)
      await this.#commits.request(intake)
    }
    this.attempts = { starting: note, failed: note }
  }

  async open(signal: AbortSignal): Promise<void> {
    const { options, brokerGroup, member, topics } = this.#spec
    for (const topic of topics) await this.#parts.admin.provision(topic, signal)
    this.#member = await this.#parts.connection.member(
      { ...options, group: brokerGroup, name: `${brokerGroup}/${member}`, topics: [...this.#topics.keys()] },
      this,
    )
    await this.#member.open(signal)
    // The join may still wait for other members.
    if (!this.#assigned) this.sink.assigned([])
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    const intake = this.#intakeOf(assignment)
    intake.settle(last.position as number)
    await this.#commits.request(intake)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    const old = this.#intakeOf(assignment)
    const place = { topic: old.brokerTopic, partition: old.partition }
    const member = this.#member as GroupMember
    const ranges = await readRanges(member, [place])
    const offsets = await resolvePosition(member, [place], position, ranges)
    const offset = this.#corrected(place, offsets.get(placeKey(place)) ?? 0, ranges)
    this.#replace(old, offset, ranges)
  }

  async lag(): Promise<readonly PartitionLag[]> {
    const member = this.#member as GroupMember
    const places = [...this.#topics.keys()].flatMap((topic) => member.partitionsOf(topic))
    const [committed, ranges] = await Promise.all([member.committed(places), readRanges(member, places)])
    return places.map((place) => {
      const range = ranges.get(placeKey(place)) ?? { first: 0, end: 0 }
      const offset = committed.get(placeKey(place))?.offset ?? -1
      return {
        topic: this.#topicName(place.topic),
        partition: place.partition,
        lag: Math.max(0, range.end - Math.max(offset, range.first)),
      }
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#member?.pauseAll()
    for (const intake of this.#intakes.values()) intake.stop()
  }

  async close(): Promise<void> {
    if (!this.#lost) await this.#endCleanly()
    this.#stopIntakes()
    await this.#member?.close()
    if (!this.#lost) this.#member?.forget()
    this.#lost = true
  }

  // What the member tells.

  async joined(generation: Generation): Promise<boolean> {
    if (this.#stopped) {
      this.#member?.pauseAll()
      return true
    }
    const commits: Commits = new CommitQueue((positions) => this.#commitNow(generation, commits, positions))
    this.#commits = commits
    const starts = await this.#findStarts(generation.partitions)
    const intakes = generation.partitions.map((place) =>
      this.#makeIntake(place, generation.id, starts.get(placeKey(place)) as IntakeStart),
    )
    for (const intake of intakes)
      this.#member?.seek({ topic: intake.brokerTopic, partition: intake.partition }, intake.done)
    try {
      await Promise.all(intakes.map((intake) => commits.request(intake)))
    } catch (error) {
      if (isOver(error)) return false
      throw error
    }
    this.#assigned = true
    this.sink.assigned(intakes.map((intake) => intake.assignment))
    for (const intake of intakes) this.#enter(intake)
    return true
  }

  async leaving(how: 'graceful' | 'lost'): Promise<void> {
    const assignments = [...this.#intakes.keys()]
    for (const intake of this.#intakes.values()) intake.stop()
    await this.sink.revoked(assignments, how, Math.min(this.#spec.options.rebalanceTimeoutMs / 2, LONGEST_HANDOVER_MS))
    if (how === 'graceful') await this.#endCleanly()
    this.#stopIntakes()
  }

  fetched(topic: string, partition: number, messages: readonly KafkaMessage[]): boolean {
    return this.#byPlace.get(placeKey({ topic, partition }))?.take(messages) ?? false
  }

  async outOfRange(place: Place): Promise<void> {
    const old = this.#byPlace.get(placeKey(place))
    if (old === undefined) return
    const ranges = await readRanges(this.#member as GroupMember, [place])
    const offset = this.#corrected(place, old.fetchedBelow, ranges)
    old.stop()
    await this.sink.revoked([old.assignment], 'lost')
    this.#replace(old, offset, ranges)
  }

  lost(error: unknown): void {
    this.#lost = true
    this.#stopIntakes()
    this.sink.lost(error)
  }

  // What intakes ask for.

  pause(intake: PartitionIntake): void {
    this.#member?.pause({ topic: intake.brokerTopic, partition: intake.partition })
  }

  resume(intake: PartitionIntake): void {
    this.#member?.resume({ topic: intake.brokerTopic, partition: intake.partition })
  }

  announce(intake: PartitionIntake): void {
    this.#commits.request(intake).catch(() => setTimeout(() => intake.announceAgain(), ANNOUNCE_AGAIN_MS).unref())
  }

  // Positions.

  /** Where each partition begins: at its commit, or where the group is to start; what may have been at work in a dead process. */
  async #findStarts(places: readonly Place[]): Promise<Map<string, IntakeStart>> {
    if (places.length === 0) return new Map()
    const member = this.#member as GroupMember
    const [committed, ranges] = await Promise.all([member.committed(places), readRanges(member, places)])
    const fresh = places.filter((place) => (committed.get(placeKey(place))?.offset ?? -1) < 0)
    if (this.#spec.from !== undefined && fresh.length < places.length)
      this.#tellIgnoredFrom(places.length - fresh.length)
    const initial = await resolvePosition(member, fresh, this.#spec.from ?? 'earliest', ranges)
    return new Map(
      places.map((place) => {
        const key = placeKey(place)
        const found = committed.get(key)
        const offset = initial.get(key) ?? found?.offset ?? 0
        const start = this.#corrected(place, offset, ranges)
        const metadata =
          start === found?.offset ? decodeMetadata(start, found.metadata, this.#topicName(place.topic)) : undefined
        const suspicious = metadata !== undefined && !metadata.clean && metadata.owner !== PROCESS
        // What was appended later can't have been delivered by the dead.
        const suspectBelow = suspicious ? Math.min(metadata.deliveredBelow, ranges.get(key)?.end ?? 0) : 0
        return [key, { offset: start, attempts: metadata?.attempts ?? new Map(), suspectBelow }]
      }),
    )
  }

  #tellIgnoredFrom(partitions: number): void {
    this.#parts.logger.info(
      `kafka: 'from' holds for a new group only; ${this.#spec.brokerGroup} goes on where it was in ${partitions} partitions`,
    )
  }

  #corrected(place: Place, offset: number, ranges: ReadonlyMap<string, LogRange>): number {
    const range = ranges.get(placeKey(place)) ?? { first: 0, end: offset }
    const correction = withinRange(
      { ...place, name: this.#topicName(place.topic) },
      offset,
      range,
      this.#spec.options.outOfRange,
    )
    if (correction.error !== undefined) this.sink.report(correction.error)
    return correction.offset
  }

  /** Goes on at another offset: a new assignment, within the same generation. */
  #replace(old: PartitionIntake, offset: number, ranges: ReadonlyMap<string, LogRange>): void {
    const place = { topic: old.brokerTopic, partition: old.partition }
    old.stop()
    this.#forget(old)
    const intake = this.#makeIntake(place, old.assignment.epoch, { offset, attempts: new Map(), suspectBelow: 0 })
    this.#member?.seek(place, Math.min(offset, ranges.get(placeKey(place))?.end ?? offset))
    this.sink.assigned([intake.assignment])
    this.#enter(intake)
    this.resume(intake)
    this.announce(intake)
  }

  #makeIntake(place: Place, epoch: number, start: IntakeStart): PartitionIntake {
    return new PartitionIntake(
      { topic: this.#topicName(place.topic), partition: place.partition, epoch },
      place.topic,
      start,
      this,
    )
  }

  #enter(intake: PartitionIntake): void {
    this.#intakes.set(intake.assignment, intake)
    this.#byPlace.set(placeKey({ topic: intake.brokerTopic, partition: intake.partition }), intake)
  }

  #forget(intake: PartitionIntake): void {
    this.#intakes.delete(intake.assignment)
    const key = placeKey({ topic: intake.brokerTopic, partition: intake.partition })
    if (this.#byPlace.get(key) === intake) this.#byPlace.delete(key)
  }

  #stopIntakes(): void {
    for (const intake of [...this.#intakes.values()]) {
      intake.stop()
      this.#forget(intake)
    }
  }

  #topicName(brokerTopic: string): string {
    return this.#topics.get(brokerTopic)?.topic ?? brokerTopic
  }

  /** The owned partition, or ABORTED: the broker itself would take a commit for a partition that belongs to another member of the present generation. */
  #intakeOf(assignment: PartitionAssignment): PartitionIntake {
    const intake = this.#intakes.get(assignment)
    if (intake !== undefined) return intake
    throw new StreamError(`partition ${assignment.partition} of '${assignment.topic}' is no longer this member's`, {
      code: 'ABORTED',
      retryable: false,
      transport: 'kafka',
      operation: 'ack',
      topic: assignment.topic,
    })
  }

  async #commitNow(generation: Generation, commits: Commits, positions: readonly Position[]): Promise<void> {
    try {
      await generation.commit(positions)
    } catch (error) {
      const classified = classifyError(error, 'ack', this.#topicName(positions[0]?.topic ?? ''))
      if (classified.code === 'ABORTED' && commits === this.#commits) this.#fenced()
      throw classified
    }
  }

  /** The group has gone on without this member: kafkajs hears of it with the next heartbeat and joins again. */
  #fenced(): void {
    const assignments = [...this.#intakes.keys()]
    this.#member?.pauseAll()
    this.#stopIntakes()
    if (assignments.length > 0) void this.sink.revoked(assignments, 'lost')
  }

  /** Notes that nothing is at work any more. What can't be noted makes the successor careful, no more. */
  async #endCleanly(): Promise<void> {
    const intakes = [...this.#intakes.values()]
    for (const intake of intakes) {
      intake.stop()
      intake.clean = true
    }
    await atMost(Promise.all(intakes.map((intake) => this.#commits.request(intake))), CLEAN_END_MS)
  }
}

/** The generation ended before it was put to use: the next heartbeat says so, and the member joins again. */
function isOver(error: unknown): boolean {
  const type = protocolError(error)
  return type === 'REBALANCE_IN_PROGRESS' || type === 'ILLEGAL_GENERATION' || type === 'UNKNOWN_MEMBER_ID'
}
