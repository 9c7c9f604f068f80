import type { ConsumerSink, Delivery, PartitionAssignment } from '@streamswitch/core/driver'
import { everyInStep, historyOf, untilNextStep } from '@streamswitch/core/driver'
import { AttemptSlots } from './attempt-slots.js'
import { Offset, type StreamClient, type SubscriptionHandle } from './client-patches/stream-client.js'
import { partitionGone } from './errors.js'
import { ATTEMPT_SLOTS, type GroupRecordStore, type GroupRecords } from './group-records.js'
import type { DeliveryContext } from './message.js'
import type { StreamConsumerSettings } from './options.js'
import { WATCH_INTERVAL_MS } from './orphan-watch.js'
import { PartitionFeed } from './partition-feed.js'
import { firstOffsetOf, heldIn, rangeOf, removedRange } from './stream-positions.js'

/** Within this time of the last one, the next mark of what may be started is set ahead, so that a fast reader writes few of them. */
const MARK_INTERVAL_MS = 100
/**
 * Small, and doubled while it is too little: messages that are marked and were never delivered are also processed one
 * at a time by the member that takes over.
 */
const MIN_LEAD = 16
const MAX_LEAD = 1_000
/** An owner reads what is stored every `commitIntervalMs`, but no more often than this, in milliseconds. */
const MIN_GUARD_MS = 100
/**
 * After this time without a commit or an assignment it does so every second: the previous owner has noticed by then.
 */
const GUARDED_MS = 30_000
/** So many offsets in a row may have gone to the broker's own records (what groups store), in a file that is deleted but still read. */
const OWN_RECORDS = 16
const PLAIN: DeliveryContext = {}

export interface ActiveSettings {
  readonly assignment: PartitionAssignment
  readonly stream: string
  readonly group: string
  readonly start: number
  readonly records: GroupRecords
  /** Messages below this offset may have been running in a member that died. */
  readonly suspectBelow: number
  readonly options: StreamConsumerSettings
  readonly store: GroupRecordStore
  readonly client: StreamClient
  readonly sink: ConsumerSink
  broken(error: unknown): void
  /** A higher epoch is stored. */
  takenOver(): void
}

/**
 * A partition from its assignment to its revocation: its feed, its position, its attempts. What is stored must be this owner's: a
 * higher epoch ends it, anything else that it hasn't stored is a former owner's and is overwritten.
 */
export class ActivePartition {
  readonly assignment: PartitionAssignment
  readonly #settings: ActiveSettings
  #feed: PartitionFeed
  readonly #slots: AttemptSlots
  #data: SubscriptionHandle | undefined
  #owedCredits = 0
  /** Chunks that the broker may still send. */
  #unusedCredits = 0
  /** Retention had come so far when it was found to have overtaken the reader. */
  #overtakenTo = 0
  /** How often its reader may have stopped, and so lost its place, since it was known to have it. */
  #blocked = 0
  /** Messages below may have been started, by what is on record. */
  #mark: number
  #lead = 0
  #markedAt = Number.NEGATIVE_INFINITY
  #handedOut: number | undefined
  #passed: number
  #position: number
  #savingPassed = false
  /** The position that must be stored. */
  #stored: number
  /** Positions are stored and checked one after the other. */
  #saving: Promise<unknown> = Promise.resolve()
  /** By `performance.now()`: when the position was last checked by storing it. */
  #checkedAt = performance.now()
  #over = false
  #endSigns: () => void = () => {}
  #guard: NodeJS.Timeout | undefined

  constructor(settings: ActiveSettings) {
    const { assignment, start, records } = settings
    this.#settings = settings
    this.assignment = assignment
    this.#slots = new AttemptSlots(records)
    this.#mark = records.started
    this.#position = start
    this.#passed = start
    this.#stored = start
    this.#feed = this.#feedFrom(start)
  }

  #feedFrom(start: number): PartitionFeed {
    const { stream, options, sink, broken } = this.#settings
    return new PartitionFeed(
      {
        assignment: this.assignment,
        stream,
        start,
        maxDecompressedBytes: options.maxDecompressedBytes,
        context: (offset) => this.#context(offset),
        wants: filterOf(options),
        starting: (last) => this.#starting(last),
        passed: (next, last) => this.#pass(next, last),
        credit: () => this.#credit(),
        gap: (expected, next) => this.#lookInto(expected, next),
        broken,
      },
      sink,
    )
  }

  /** Starts the intake. */
  async subscribe(): Promise<void> {
    // At once: the broker may have given the partition to somebody else before it answers.
    this.#scheduleGuard()
    await this.#read(this.#feed, this.#settings.start)
    if (this.#over) return
    this.#endSigns = everyInStep(WATCH_INTERVAL_MS, () => this.#showLife())
  }

  async #read(feed: PartitionFeed, start: number): Promise<void> {
    const { client, stream, options, group } = this.#settings
    const { chunksAhead, filterValues, matchUnfiltered } = options
    this.#unusedCredits = chunksAhead
    this.#blocked = 0
    const filter =
      filterValues === undefined
        ? undefined
        : { values: [...filterValues], matchUnfiltered, postFilterFunc: () => true }
    const data = await client.subscribe(
      {
        stream,
        offset: Offset.offset(BigInt(start)),
        credit: chunksAhead,
        consumerTag: group,
        ...(filter === undefined ? {} : { filter }),
      },
      { chunk: (bytes) => this.#arrived(feed, bytes) },
    )
    if (this.#over) return client.unsubscribe(data)
    this.#data = data
    if (this.#owedCredits > 0) client.credit(data, this.#owedCredits)
    this.#owedCredits = 0
  }

  #arrived(feed: PartitionFeed, bytes: Buffer): void {
    feed.push(bytes)
    this.#unusedCredits -= 1
    if (this.#mayBeBlocked) this.#blocked += 1
  }

  /** Where a reader has used half of its credits, the broker may stop until it has more: measured on RabbitMQ 4.0.5. */
  get #mayBeBlocked(): boolean {
    return this.#unusedCredits <= this.#settings.options.chunksAhead / 2
  }

  /** The broker's reader goes on: where its place is still in the stream, it loses nothing from here on. */
  async #unblocked(): Promise<void> {
    const { client, stream } = this.#settings
    const [blocked, { expected }] = [this.#blocked, this.#feed]
    const first = await firstOffsetOf(client, stream)
    if (first <= expected && this.#blocked === blocked) this.#blocked = 0
  }

  /**
   * Retention has overtaken the reader where the stream begins beyond the expected offset. The offset is reported once, although the broker
   * reads a file to its end that was deleted meanwhile; what is missing, as often as something is. A filter's reader that had credits left
   * has seen what lies between, whether or not it is there still.
   */
  async #lookInto(expected: number, next: number): Promise<boolean> {
    const { client, stream, sink, options } = this.#settings
    if (options.filterValues !== undefined && this.#blocked === 0) return true
    this.#blocked = 0
    const first = await firstOffsetOf(client, stream)
    if (first <= expected || this.#over) return true
    const { topic, partition } = this.assignment
    const told = next <= this.#overtakenTo
    this.#overtakenTo = Math.max(this.#overtakenTo, first)
    const range = told ? undefined : await rangeOf(client, stream)
    if (this.#over) return false
    const where = range && { topic, partition, offset: String(expected), ...heldIn(range) }
    const policy = where === undefined ? 'earliest' : sink.outOfRange(where)
    // Behind a jump over files that are gone the stream begins, unless more of them have gone since.
    if (next >= first || next - expected > OWN_RECORDS) sink.removed?.(removedRange(topic, partition, expected, next))
    if (policy === 'earliest' || range === undefined) return true
    await this.#skipTo(range.end)
    return false
  }

  /** Reads on from there. What has been handed out before is finished and committed. */
  async #skipTo(offset: number): Promise<void> {
    const data = this.#data
    this.#data = undefined
    this.#feed.stop()
    this.#feed = this.#feedFrom(offset)
    this.#owedCredits = 0
    if (data !== undefined) await this.#settings.client.unsubscribe(data)
    if (this.#over) return
    await this.#read(this.#feed, offset)
    this.#pass(offset, undefined)
  }

  /** Nothing is handed out from now on; commits still work. */
  stop(): void {
    this.#feed.stop()
  }

  /** Lets go in good order: nothing is running any more, so that the next owner has no suspects. */
  async release(): Promise<void> {
    if (!this.#over) {
      this.#settings.store.saveStarted(0)
      if (this.#slots.empty && this.#slots.slots > ATTEMPT_SLOTS) this.#settings.store.saveSlots(ATTEMPT_SLOTS)
    }
    await this.abandon()
  }

  /** Ends at once: nothing is stored any more, since another member may own the partition. */
  end(): void {
    this.#over = true
    this.stop()
    this.#endSigns()
    clearTimeout(this.#guard)
  }

  /** Ends, and lets go of what it holds on the broker. */
  async abandon(): Promise<void> {
    this.end()
    const data = this.#data
    this.#data = undefined
    if (data !== undefined) await this.#settings.client.unsubscribe(data)
  }

  async commit(last: Delivery): Promise<void> {
    const offset = last.position as number
    const next = offset === this.#handedOut ? Math.max(this.#passed, offset + 1) : offset + 1
    await this.#save(next)
    this.#position = Math.max(this.#position, next)
    this.#slots.forget(next)
  }

  /** Stores the position, unless another member has taken over. Rejects with ABORTED where one has, before or meanwhile. */
  #save(next: number): Promise<void> {
    return this.#oneByOne(async () => {
      await this.#settings.store.savePosition(next, (epoch) => this.#check(epoch))
      this.#stored = next
      this.#checkedAt = performance.now()
    })
  }

  /** Throws once the assignment is over, which it is for a higher epoch. A lower one is a former owner's, stored too late. */
  #check(stored: number): void {
    const { assignment, store, takenOver } = this.#settings
    const { topic, partition, epoch } = assignment
    if (!this.#over && stored > epoch) {
      this.#over = true
      takenOver()
    }
    if (this.#over) throw partitionGone(topic, partition)
    if (stored !== 0 && stored < epoch) store.saveEpoch(epoch)
  }

  #oneByOne<T>(work: () => Promise<T>): Promise<T> {
    const working = this.#saving.then(work)
    this.#saving = working.catch(() => {})
    return working
  }

  #scheduleGuard(): void {
    if (this.#over || this.#data?.connection.failure !== undefined) return
    const interval = Math.max(MIN_GUARD_MS, this.#settings.options.commitIntervalMs)
    const now = performance.now()
    const period = now - this.#checkedAt > GUARDED_MS ? Math.max(interval, WATCH_INTERVAL_MS) : interval
    // All partitions of the process in the same turn: their requests are sent together.
    this.#guard = setTimeout(() => {
      const checking = this.#oneByOne(() => this.#verify())
      // The connection is lost, which the driver is notified of; or the partition is, which has been reported.
      void checking.catch(() => {}).then(() => this.#scheduleGuard())
    }, untilNextStep(period))
    this.#guard.unref()
  }

  /** Finds what a former owner has stored since, and overwrites it. A position that retention has removed is no such thing. */
  async #verify(): Promise<void> {
    const { store } = this.#settings
    const { position, epoch } = await store.standing()
    this.#check(epoch)
    if (position === undefined || position === this.#stored) return
    await store.savePosition(this.#stored, (stored) => this.#check(stored))
  }

  /** Keeps core's note of a message; resolves when the broker has it. */
  async note(delivery: Delivery, attempts: number): Promise<void> {
    const { store } = this.#settings
    const offset = delivery.position as number
    const { slots } = this.#slots
    const slot = this.#slots.claim(offset, attempts)
    // The broker handles both in order.
    if (this.#slots.slots > slots) store.saveSlots(this.#slots.slots)
    await store.saveFailed(slot, { offset, attempts })
  }

  /** Handlers may take long: those who wait for the partition must not take that for death. */
  #showLife(): void {
    if (this.#data?.connection.failure !== undefined) this.#endSigns()
    else if (this.#handedOut !== undefined && this.#position <= this.#handedOut) this.#settings.store.saveAlive()
  }

  #context(offset: number): DeliveryContext {
    const suspect = offset < this.#settings.suspectBelow
    if (!suspect && this.#slots.empty) return PLAIN
    return { ...historyOf(this.#slots.attemptsOf(offset)), suspect }
  }

  #starting(last: number): void {
    if (last < this.#mark) return
    const now = performance.now()
    this.#lead = now - this.#markedAt < MARK_INTERVAL_MS ? Math.min(MAX_LEAD, Math.max(MIN_LEAD, this.#lead * 2)) : 0
    this.#markedAt = now
    this.#mark = last + 1 + this.#lead
    this.#settings.store.saveStarted(this.#mark)
  }

  #pass(next: number, last: number | undefined): void {
    this.#passed = next
    if (last !== undefined) this.#handedOut = last
    else if (this.#handedOut === undefined || this.#position > this.#handedOut) this.#savePassed()
  }

  /** What a filter passes over is done; its position is stored now and then where no commit would. */
  #savePassed(): void {
    if (this.#savingPassed) return
    this.#savingPassed = true
    setTimeout(() => {
      this.#savingPassed = false
      const idle = this.#handedOut === undefined || this.#position > this.#handedOut
      if (!idle || this.#data === undefined || this.#passed <= this.#position) return
      this.#position = this.#passed
      this.#save(this.#passed).catch(() => {})
    }, this.#settings.options.commitIntervalMs).unref()
  }

  /** Chunks may come before the answer that names the subscription. */
  #credit(): void {
    const { client, options } = this.#settings
    if (this.#data === undefined) this.#owedCredits += 1
    else client.credit(this.#data, 1)
    this.#unusedCredits += 1
    if (options.filterValues === undefined || this.#blocked === 0) return
    if (!this.#mayBeBlocked) void this.#unblocked().catch(() => {})
  }
}

/** The broker's filter lets whole chunks through: what remains is sorted out here. */
function filterOf(options: StreamConsumerSettings): ((delivery: Delivery) => boolean) | undefined {
  const { filterValues, filterHeader, matchUnfiltered } = options
  if (filterValues === undefined || filterHeader === undefined) return undefined
  const wanted = new Set(filterValues)
  return ({ headers }) => {
    const value = headers[filterHeader]
    return value === undefined ? matchUnfiltered : wanted.has(value)
  }
}
