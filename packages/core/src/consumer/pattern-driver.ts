import { atMost } from '../at-most.js'
import type { TopicDiscovery, TopicSearch } from '../contract/adapter.js'
import type {
  AttemptJournal,
  ConsumerDriver,
  ConsumerSink,
  PartitionAssignment,
  PartitionLag,
  StartPosition,
} from '../contract/consumer-driver.js'
import { toStreamError } from '../errors.js'
import { withSignal } from '../session.js'
import { deadlineSignal } from '../time.js'
import type { Delivery } from './delivery.js'
import { noteGone, type Part, PatternParts } from './pattern-parts.js'
import type { TopicSubscription } from './topic-subscription.js'

/** Maximum time of a topic poll after a failure, in milliseconds. */
const LOOK_MS = 2_000

/** How many topic polls a report waits for. */
const LOOKS_BEFORE_REPORT = 2

interface HeldReport {
  readonly part: Part
  readonly error: unknown
  /** Polls that began after it. */
  looks: number
}

/**
 * Receives all topics that match a pattern. Topics found together share a driver of the adapter; topics added later get
 * another driver, so that running ones aren't disturbed. When topics disappear, their driver is drained as for a
 * handover, and another takes over its remaining topics.
 */
export class PatternDriver implements ConsumerDriver {
  readonly #subscription: TopicSubscription
  readonly #sink: ConsumerSink
  readonly #parts = new PatternParts()
  readonly #ending = new AbortController()
  /** Used to learn how drivers of this adapter settle. */
  #sample: ConsumerDriver | undefined
  #discovery: TopicDiscovery | undefined
  #timer: NodeJS.Timeout | undefined
  /** Recent reports of drivers: a topic that is being deleted causes errors that don't concern the user. */
  #held: HeldReport[] = []
  /** A running topic poll, shared by concurrent callers. */
  #looking: Promise<string[]> | undefined
  /** Changes of the set of topics, serialised. */
  #changes: Promise<void> = Promise.resolve()

  constructor(subscription: TopicSubscription, sink: ConsumerSink) {
    this.#subscription = subscription
    this.#sink = sink
  }

  get settlement(): ConsumerDriver['settlement'] {
    return this.#sample?.settlement ?? 'individual'
  }

  get redelivery(): ConsumerDriver['redelivery'] {
    return this.#sample?.redelivery ?? 'core'
  }

  get settleIntervalMs(): number {
    return this.#sample?.settleIntervalMs ?? 0
  }

  get attempts(): AttemptJournal | undefined {
    return this.#sample?.attempts === undefined ? undefined : this.#journal
  }

  readonly #journal: AttemptJournal = {
    starting: async (...what) => this.#parts.driverOf(what[0])?.attempts?.starting(...what),
    failed: async (...what) => this.#parts.driverOf(what[0])?.attempts?.failed(...what),
  }

  async open(signal: AbortSignal): Promise<void> {
    const { transport, spec } = this.#subscription.settings
    if (transport.driver.discover === undefined) {
      const topics = await withSignal(this.#subscription.list(), signal)
      for (const some of this.#subscription.together(topics)) await this.#join(some, signal)
      this.#schedule()
    } else {
      const search: TopicSearch = {
        group: spec.group,
        brokerGroup: spec.brokerGroup,
        options: spec.options,
        accepts: (topic) => this.#subscription.accepts(topic),
        found: (topic) => this.#found(topic),
        left: (topic) => this.#left(topic),
      }
      this.#discovery = await transport.driver.discover(search, signal)
    }
    this.#subscription.opened()
    if (this.#parts.size === 0) this.#tell('no topic matches yet')
  }

  async ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    await this.#settle(assignment, (driver) => driver.ack?.(assignment, deliveries))
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.#settle(assignment, (driver) => driver.commit?.(assignment, last))
  }

  async reject(
    assignment: PartitionAssignment,
    delivery: Delivery,
    error: unknown,
    retryAfterMs: number | undefined,
  ): Promise<void> {
    await this.#parts.driverOf(assignment)?.reject?.(assignment, delivery, error, retryAfterMs)
  }

  async release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    await this.#parts.driverOf(assignment)?.release?.(assignment, deliveries)
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    const part = this.#parts.of(assignment)
    await part?.driver.seek?.(assignment, position)
    // The driver has assigned the partition again, by another object.
    if (part !== undefined) this.#parts.forget(part, [assignment])
  }

  async lag(): Promise<readonly PartitionLag[]> {
    return (await Promise.all([...this.#parts].map(({ driver }) => driver.lag?.() ?? []))).flat()
  }

  get undelivered(): ConsumerDriver['undelivered'] {
    return this.#sample?.undelivered === undefined ? undefined : this.#undelivered
  }

  readonly #undelivered = async (): Promise<ReadonlyMap<PartitionAssignment, number>> => {
    const counts = await Promise.all([...this.#parts].map(({ driver }) => driver.undelivered?.() ?? new Map()))
    return new Map(counts.flatMap((one) => [...one]))
  }

  async probe(): Promise<void> {
    await Promise.all([...this.#parts].map(({ driver }) => driver.probe?.()))
  }

  async stop(): Promise<void> {
    this.#endChanges()
    await Promise.all([...this.#parts].map(({ driver }) => driver.stop()))
  }

  async close(): Promise<void> {
    this.#endChanges()
    await this.#discovery?.close()
    await Promise.all([...this.#parts].map(({ driver }) => driver.close()))
    // A change in flight is ended by the signal; what it had opened is closed automatically.
    await this.#changes
    this.#parts.clear()
  }

  #endChanges(): void {
    this.#ending.abort(this.#subscription.error('closed'))
    clearTimeout(this.#timer)
  }

  // Polling for topics.

  #schedule(): void {
    if (this.#ending.signal.aborted) return
    this.#timer = setTimeout(() => void this.#inTurn(() => this.#refresh()), this.#subscription.settings.refreshMs)
    this.#timer.unref()
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const done = this.#changes.then(change)
    this.#changes = done.catch(() => {})
    return done
  }

  async #refresh(): Promise<void> {
    const { refreshMs, subject, transport } = this.#subscription.settings
    const held = [...this.#held]
    try {
      const present = new Set(await withSignal(this.#subscription.list(), this.#ending.signal))
      for (const part of this.#parts) noteGone(part, present)
      for (const part of [...this.#parts]) if (part.gone.size > 0) await this.#replace(part)
      this.#tellHeld(held)
      const added = [...present].filter((topic) => !this.#subscription.joined.has(topic))
      if (added.length > 0) await this.#joinLate(added)
    } catch (error) {
      if (this.#ending.signal.aborted) return
      const { message } = toStreamError(error, { code: 'UNKNOWN' })
      transport.logger.warn(`${subject}: could not look for topics, next try in ${refreshMs} ms: ${message}`)
    }
    this.#schedule()
  }

  /** A sender has named a topic. Resolves when it is joined. */
  #found(topic: string): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#subscription.joined.has(topic)) await this.#joinLate([topic])
    })
  }

  /** A topic that a sender had named turned out not to exist. */
  #left(topic: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#ending.signal.throwIfAborted()
      for (const part of [...this.#parts]) {
        if (!part.spec.topics.some((spec) => spec.topic === topic)) continue
        part.gone.add(topic)
        await this.#replace(part, 'no message was accepted')
      }
      this.#subscription.forget(topic)
    })
  }

  #joinLate(topics: readonly string[]): Promise<void> {
    const deadline = deadlineSignal(this.#subscription.settings.connectTimeoutMs)
    return this.#join(topics, AbortSignal.any([deadline, this.#ending.signal]))
  }

  async #join(topics: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    const { transport } = this.#subscription.settings
    const spec = this.#subscription.specOf(topics, this.#sample === undefined ? 'first' : 'late')
    const assignments = new Set<PartitionAssignment>()
    const part: Part = {
      spec,
      assignments,
      gone: new Set(),
      driver: transport.driver.consumer(spec, {
        assigned: (partitions) => {
          this.#parts.assign(part, partitions)
          // One part without a partition doesn't matter when another has some.
          if (partitions.length > 0 || this.#parts.ownNothing) this.#sink.assigned(partitions)
        },
        revoked: async (partitions, how, deadlineMs) => {
          await this.#sink.revoked(partitions, how, deadlineMs)
          this.#parts.forget(part, partitions)
        },
        deliver: (assignment, deliveries) => this.#sink.deliver(assignment, deliveries),
        capacity: (assignment) => this.#sink.capacity(assignment),
        outOfRange: (where) => this.#sink.outOfRange(where),
        partitionStopped: (assignment, error) => this.#sink.partitionStopped(assignment, error),
        partitionResumed: (assignment) => this.#sink.partitionResumed(assignment),
        startIgnored: (topic) => this.#sink.startIgnored(topic),
        dropped: async (...what) => this.#sink.dropped?.(...what),
        removed: (range) => this.#sink.removed?.(range),
        lost: (error) => {
          if (this.#parts.has(part)) void this.#lost(part, error)
        },
        report: (error) => {
          if (this.#discovery !== undefined) this.#sink.report(error)
          else this.#held.push({ part, error, looks: 0 })
        },
      }),
    }
    this.#sample ??= part.driver
    this.#parts.add(part)
    try {
      await withSignal(part.driver.open(signal), signal)
    } catch (error) {
      await this.#end(part, 'lost')
      throw error
    }
    this.#subscription.noteJoined(topics)
    this.#tell(`joined ${topics.join(', ')}`)
  }

  /** Ends a part's deleted topics, and lets another part take over the remaining ones. */
  async #replace(part: Part, reason = 'deleted'): Promise<void> {
    if (!this.#parts.has(part)) return
    const topics = part.spec.topics.map(({ topic }) => topic)
    const remaining = topics.filter((topic) => !part.gone.has(topic))
    this.#tell(`left ${[...part.gone].join(', ')}: ${reason}`)
    await part.driver.stop()
    await this.#end(part, 'graceful')
    this.#subscription.noteLeft(topics)
    if (remaining.length > 0) await this.#joinLate(remaining)
  }

  async #end(part: Part, how: 'graceful' | 'lost'): Promise<void> {
    await this.#sink.revoked([...part.assignments], how)
    this.#parts.remove(part)
    await part.driver.close()
  }

  /**
   * Reports what drivers reported, unless it is from a deleted topic. The first poll after a report may still find a
   * topic whose deletion has begun; the second poll is reliable.
   */
  #tellHeld(held: readonly HeldReport[]): void {
    for (const report of held) report.looks += 1
    const isLate = ({ looks }: HeldReport): boolean => looks >= LOOKS_BEFORE_REPORT
    const [told, waiting] = [this.#held.filter(isLate), this.#held.filter((report) => !isLate(report))]
    this.#held = waiting
    for (const { part, error } of told) if (this.#parts.has(part) && part.gone.size === 0) this.#sink.report(error)
  }

  /** If topics were deleted, the remaining ones continue without them; any other loss is one of the whole driver. */
  async #lost(part: Part, error: unknown): Promise<void> {
    if ((await this.#missingOf(part)).size === 0) return this.#sink.lost(error)
    await this.#inTurn(() => this.#replace(part)).catch(() => this.#sink.lost(error))
  }

  /** Returns the topics of a part that no longer exist. None when that is unknown. */
  async #missingOf(part: Part): Promise<ReadonlySet<string>> {
    if (this.#discovery !== undefined) return part.gone
    this.#looking ??= this.#subscription.list().finally(() => {
      this.#looking = undefined
    })
    const present = await atMost(this.#looking, LOOK_MS)
    if (present !== undefined) noteGone(part, new Set(present))
    return part.gone
  }

  /**
   * If the topic was deleted, nothing is left to settle; settlements that failed along with those of a deleted topic
   * are repeated.
   */
  async #settle(
    assignment: PartitionAssignment,
    settle: (driver: ConsumerDriver) => Promise<void> | undefined,
  ): Promise<void> {
    const part = this.#parts.of(assignment)
    if (part === undefined) {
      const { topic, partition } = assignment
      throw this.#subscription.error(`partition ${partition} of '${topic}' is no longer assigned to this loop`)
    }
    try {
      await settle(part.driver)
    } catch (error) {
      const missing = await this.#missingOf(part)
      if (missing.size === 0) throw error
      if (!missing.has(assignment.topic)) await settle(part.driver)
    }
  }

  #tell(what: string): void {
    const { subject, transport } = this.#subscription.settings
    transport.logger.info(`${subject}: ${what}`)
  }
}
