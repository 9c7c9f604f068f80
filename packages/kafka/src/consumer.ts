import { setTimeout as delay } from 'node:timers/promises'
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
import { atMost, isStreamError, StreamError, topicMissing } from '@streamswitch/core/driver'
import type { KafkaAdmin } from './admin.js'
import type { Unreadable } from './batch-reader.js'
import { CommitQueue } from './commit-queue.js'
import type { KafkaConnection } from './connection.js'
import { classifyError, protocolError } from './errors.js'
import type { Fetched, GroupMember, MemberEvents } from './group-member.js'
import { checkConsumerOptions, type KafkaConsumerValues } from './options.js'
import { noLeader } from './partial-metadata.js'
import { type IntakeHost, PartitionIntake, type Position } from './partition-intake.js'
import { type Generation, type Place, placeKey } from './places.js'
import { type IntakeStart, Positions, readRanges } from './start-offsets.js'

/** Wait before a failed announcement is repeated, in milliseconds. */
const ANNOUNCE_AGAIN_MS = 200

/** Maximum time for handlers when partitions move, unless half of `rebalanceTimeoutMs` is less, in milliseconds. */
const LONGEST_HANDOVER_MS = 30_000

/** How often partitions without leader are tried again, in milliseconds, and after how many rounds they are reported. */
const LEADER_AGAIN_MS = 500
const REPORT_AFTER_ROUNDS = 5

/** Maximum time for recording a clean end, in milliseconds. */
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
  /** Recreated with each generation, so that nothing is committed under another one than its own. */
  #commits: Commits = new CommitQueue(() => Promise.resolve())
  #member: GroupMember | undefined
  #positionsOfMember: Positions | undefined
  /** Topics that don't exist and were reported, by their names on the broker. */
  readonly #missing = new Set<string>()
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
    // One fetch may wait while the next one is in flight.
    this.maxWaitingBytes = 2 * spec.options.fetchMaxPartitionBytes
    const note = async (assignment: PartitionAssignment, delivery: Delivery, attempt: number): Promise<void> => {
      const intake = this.#intakeOf(assignment)
      const offset = delivery.position as number
      // What is done and waits for its commit says nothing, and must not take the room of others in the metadata.
      if (attempt === 0) intake.attempts.delete(offset)
      else intake.attempts.set(offset, attempt)
      await this.#commits.request(intake)
    }
    this.attempts = { starting: note, failed: note }
  }

  get waitingFor(): string {
    return this.#member === undefined ? 'a broker to answer, and the topics' : this.#member.waitingFor
  }

  async open(signal: AbortSignal): Promise<void> {
    const { options, brokerGroup, topics } = this.#spec
    await this.#provision(topics, signal)
    this.#member = await this.#parts.connection.member(
      this.#name,
      { ...options, group: brokerGroup, topics: [...this.#topics.keys()] },
      this,
    )
    // Closed meanwhile: what is opened from here on would not be closed.
    signal.throwIfAborted()
    this.#positionsOfMember = new Positions(this.#member, {
      from: this.#spec.from,
      sink: this.sink,
      topicName: (topic) => this.#topicName(topic),
    })
    await this.#member.open(signal)
    // The join may still wait for other members.
    if (!this.#assigned) this.sink.assigned([])
  }

  /**
   * With `provision: 'none'` a missing topic doesn't affect the others. Rejects with NOT_FOUND when all are missing.
   */
  async #provision(topics: readonly TopicSpec[], signal: AbortSignal): Promise<void> {
    const missing: unknown[] = []
    for (const topic of topics) {
      try {
        await this.#parts.admin.provision(topic, signal)
      } catch (error) {
        const isBearable = topic.provision === 'none' && isStreamError(error) && error.code === 'NOT_FOUND'
        if (!isBearable || missing.push(error) === topics.length) throw error
        this.#reportMissing(topic, error)
      }
    }
  }

  #reportMissing({ brokerTopic }: TopicSpec, error: unknown): void {
    if (this.#missing.has(brokerTopic)) return
    this.#missing.add(brokerTopic)
    this.sink.report(error)
  }

  /**
   * Topics may be deleted and recreated at any time. Throws NOT_FOUND for one that is to be created: the next driver
   * does it.
   */
  #noteTopics(member: GroupMember): void {
    for (const [brokerTopic, topic] of this.#topics) {
      if (member.partitionsOf(brokerTopic).length > 0) {
        this.#missing.delete(brokerTopic)
        continue
      }
      const error = topicMissing('kafka', topic)
      if (topic.provision === 'create') throw error
      this.#reportMissing(topic, error)
    }
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    const intake = this.#intakeOf(assignment)
    intake.settle(last.position as number)
    await this.#commits.request(intake)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    const old = this.#intakeOf(assignment)
    const offset = await this.#positions.resolve({ topic: old.brokerTopic, partition: old.partition }, position)
    await this.#commits.request(this.#replace(old, offset))
  }

  async lag(): Promise<readonly PartitionLag[]> {
    try {
      return await this.#lagOf(this.#joinedMember)
    } catch (error) {
      throw classifyError(error, 'lag')
    }
  }

  /**
   * UNAVAILABLE while there is none: when its connection is lost, and before it has joined, since the coordinator answers nothing else on a
   * connection on which a join waits.
   */
  get #joinedMember(): GroupMember {
    if (this.#member?.isJoined === true && !this.#lost) return this.#member
    throw new StreamError('the member has not joined its group', { code: 'UNAVAILABLE', transport: 'kafka' })
  }

  async #lagOf(member: GroupMember): Promise<readonly PartitionLag[]> {
    const places = [...this.#topics.keys()].flatMap((topic) => member.partitionsOf(topic))
    const [committed, ranges] = await Promise.all([member.committed(places), readRanges(member, places)])
    return places.flatMap((place) => {
      const range = ranges.get(placeKey(place))
      if (range === undefined) return []
      const offset = committed.get(placeKey(place))?.offset ?? -1
      const lag = Math.max(0, range.end - Math.max(offset, range.first))
      return [{ topic: this.#topicName(place.topic), partition: place.partition, lag }]
    })
  }

  /** Relative to the last stable offset: records of an open transaction are not to be delivered yet. */
  async undelivered(): Promise<ReadonlyMap<PartitionAssignment, number>> {
    const member = this.#joinedMember
    if (member.isThrottled) return new Map()
    const intakes = [...this.#intakes.values()]
    const stable = await member.logOffsets(intakes.map(placeOf), 'latest')
    return new Map(
      intakes.map((intake) => [intake.assignment, intake.undelivered(stable.get(placeKey(placeOf(intake))) ?? 0)]),
    )
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
    if (!this.#lost) this.#parts.connection.forget(this.#name)
    this.#lost = true
  }

  // Called by the member.

  async joined(generation: Generation): Promise<boolean> {
    if (this.#stopped) {
      this.#member?.pauseAll()
      return true
    }
    const commits: Commits = new CommitQueue((positions) => this.#commitNow(generation, commits, positions))
    this.#commits = commits
    try {
      if (this.#member !== undefined) this.#noteTopics(this.#member)
      const leaderless = await this.#begin(generation, commits, generation.partitions)
      for (const place of leaderless) this.#member?.hold(place)
      if (leaderless.length > 0) void this.#awaitLeaders(generation, commits, leaderless)
    } catch (error) {
      if (isOver(error)) return false
      throw error
    }
    return true
  }

  /** Starts partitions at their committed offsets. Returns those that have no leader. */
  async #begin(generation: Generation, commits: Commits, places: readonly Place[]): Promise<Place[]> {
    const starts = await this.#positions.starts(places)
    const intakes = places.flatMap((place) => {
      const start = starts.get(placeKey(place))
      return start === undefined ? [] : [this.#makeIntake(place, generation.id, start)]
    })
    for (const intake of intakes) this.#member?.seek(placeOf(intake), intake.done)
    await Promise.all(intakes.map((intake) => commits.request(intake)))
    // Another generation may have begun meanwhile.
    if (commits !== this.#commits || this.#lost) return []
    this.#assigned = true
    if (intakes.length > 0 || places.length === 0) this.sink.assigned(intakes.map((intake) => intake.assignment))
    for (const intake of intakes) {
      this.#enter(intake)
      this.resume(intake)
      this.#recall(intake)
    }
    return places.filter((place) => !starts.has(placeKey(place)))
  }

  /** A partition that could not be read stays stopped with a new connection or generation, until its retry is due. */
  #recall(intake: PartitionIntake): void {
    const known = this.#member?.unreadable.recall(placeOf(intake), intake.done)
    if (known === undefined) return
    this.sink.partitionStopped(intake.assignment, known.unreadable.error)
    intake.recall(intake.done, known.delayMs)
  }

  /** Starts partitions once they have a leader; the others continue meanwhile. */
  async #awaitLeaders(generation: Generation, commits: Commits, places: readonly Place[]): Promise<void> {
    const isCurrent = (): boolean => commits === this.#commits && !this.#stopped && !this.#lost
    let waiting = places
    for (let round = 1; waiting.length > 0; round += 1) {
      if (round === REPORT_AFTER_ROUNDS)
        for (const { topic, partition } of waiting)
          this.sink.report(classifyError(noLeader(topic, partition), 'consume', this.#topicName(topic)))
      await delay(LEADER_AGAIN_MS, undefined, { ref: false })
      if (!isCurrent()) return
      try {
        await this.#member?.refreshMetadata()
        waiting = await this.#begin(generation, commits, waiting)
      } catch (error) {
        // An end of the generation or of the connection is detected elsewhere; the next round may succeed.
        if (isOver(error) || !isCurrent()) return
      }
    }
  }

  async leaving(how: 'graceful' | 'lost'): Promise<void> {
    const assignments = [...this.#intakes.keys()]
    for (const intake of this.#intakes.values()) intake.stop()
    await this.sink.revoked(assignments, how, Math.min(this.#spec.options.rebalanceTimeoutMs / 2, LONGEST_HANDOVER_MS))
    if (how === 'graceful') await this.#endCleanly()
    this.#stopIntakes()
  }

  fetched(place: Place, fetched: Fetched): number | undefined {
    return this.#byPlace.get(placeKey(place))?.take(fetched)
  }

  async outOfRange(place: Place): Promise<void> {
    const old = this.#byPlace.get(placeKey(place))
    if (old === undefined) return
    const offset = await this.#positions.goOn(place, old.fetchedBelow)
    if (this.#byPlace.get(placeKey(place)) !== old) return
    // What was fetched before is handled before what follows, and is all that is left of it.
    if (offset >= old.fetchedBelow) {
      old.skipTo(offset)
      return this.#member?.seek(place, offset)
    }
    old.stop()
    await this.sink.revoked([old.assignment], 'lost')
    this.announce(this.#replace(old, offset))
  }

  lost(error: unknown): void {
    this.#lost = true
    this.#stopIntakes()
    this.sink.lost(error)
  }

  // Called by intakes.

  pause(intake: PartitionIntake): void {
    this.#member?.pause({ topic: intake.brokerTopic, partition: intake.partition })
  }

  resume(intake: PartitionIntake): void {
    this.#member?.resume({ topic: intake.brokerTopic, partition: intake.partition })
  }

  unreadable(intake: PartitionIntake, unreadable: Unreadable): number | undefined {
    const delayMs = this.#member?.unreadable.failed(placeOf(intake), intake.fetchedBelow, unreadable)
    const answer = this.sink.partitionStopped(intake.assignment, unreadable.error)
    // If the broker itself can't read, it is unknown where to resume.
    if (answer === 'wait' || unreadable.range === undefined) return delayMs
    this.readable(intake)
    return undefined
  }

  readable(intake: PartitionIntake): void {
    this.#member?.unreadable.forget(placeOf(intake))
    this.sink.partitionResumed(intake.assignment)
  }

  announce(intake: PartitionIntake): void {
    this.#commits.request(intake).catch(() => setTimeout(() => intake.announceAgain(), ANNOUNCE_AGAIN_MS).unref())
  }

  // Partitions.

  /** Resumes at another offset: a new assignment, within the same generation. */
  #replace(old: PartitionIntake, offset: number): PartitionIntake {
    const place = { topic: old.brokerTopic, partition: old.partition }
    old.stop()
    this.#forget(old)
    const intake = this.#makeIntake(place, old.assignment.epoch, { offset, attempts: new Map(), suspectBelow: 0 })
    this.#member?.seek(place, offset)
    this.sink.assigned([intake.assignment])
    this.#enter(intake)
    this.resume(intake)
    return intake
  }

  #makeIntake(place: Place, epoch: number, start: IntakeStart): PartitionIntake {
    const { topic, origin } = this.#topics.get(place.topic) ?? { topic: place.topic, origin: place.topic }
    return new PartitionIntake({ topic, origin, partition: place.partition, epoch }, place.topic, start, this)
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

  get #positions(): Positions {
    return this.#positionsOfMember as Positions
  }

  get #name(): string {
    return `${this.#spec.brokerGroup}/${this.#spec.member}`
  }

  #topicName(brokerTopic: string): string {
    return this.#topics.get(brokerTopic)?.topic ?? brokerTopic
  }

  /**
   * Returns the intake of an owned partition, or throws ABORTED: the broker itself would accept a commit for a
   * partition that belongs to another member of the present generation.
   */
  #intakeOf(assignment: PartitionAssignment): PartitionIntake {
    const intake = this.#intakes.get(assignment)
    if (intake !== undefined) return intake
    throw new StreamError(
      `partition ${assignment.partition} of '${assignment.topic}' is no longer assigned to this member`,
      {
        code: 'ABORTED',
        retryable: false,
        transport: 'kafka',
        operation: 'ack',
        topic: assignment.topic,
      },
    )
  }

  async #commitNow(generation: Generation, commits: Commits, positions: readonly Position[]): Promise<void> {
    try {
      await commitPresent(generation, positions)
    } catch (error) {
      const classified = classifyError(error, 'ack', this.#topicName(positions[0]?.topic ?? ''))
      if (classified.code === 'ABORTED' && commits === this.#commits) this.#fenced()
      throw classified
    }
  }

  /** The group has continued without this member: kafkajs learns of it with the next heartbeat and joins again. */
  #fenced(): void {
    const assignments = [...this.#intakes.keys()]
    this.#member?.pauseAll()
    this.#stopIntakes()
    if (assignments.length > 0) void this.sink.revoked(assignments, 'lost')
  }

  /** Records that nothing is running any more. If that fails, the successor is only more careful. */
  async #endCleanly(): Promise<void> {
    const intakes = [...this.#intakes.values()]
    for (const intake of intakes) {
      intake.stop()
      intake.clean = true
    }
    await atMost(Promise.all(intakes.map((intake) => this.#commits.request(intake))), CLEAN_END_MS)
  }
}

/**
 * If one of several topics was deleted, there is nothing left to be committed of it, and the others are committed
 * regardless.
 */
async function commitPresent(generation: Generation, positions: readonly Position[]): Promise<void> {
  try {
    await generation.commit(positions)
  } catch (error) {
    const topics = new Set(positions.map(({ topic }) => topic))
    if (topics.size === 1 || protocolError(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error
    for (const topic of topics) {
      const own = positions.filter((position) => position.topic === topic)
      await generation.commit(own).catch((cause: unknown) => {
        if (protocolError(cause) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw cause
      })
    }
  }
}

function placeOf({ brokerTopic, partition }: PartitionIntake): Place {
  return { topic: brokerTopic, partition }
}

/** The generation ended before it was used: the next heartbeat says so, and the member joins again. */
function isOver(error: unknown): boolean {
  const type = protocolError(error)
  return type === 'REBALANCE_IN_PROGRESS' || type === 'ILLEGAL_GENERATION' || type === 'UNKNOWN_MEMBER_ID'
}
