import type { ConsumerSink, Delivery, PartitionAssignment } from '@streamswitch/core/driver'
import { historyOf } from '@streamswitch/core/driver'
import { AttemptSlots } from './attempt-slots.js'
import { Offset, type StreamClient, type SubscriptionHandle } from './client-patches/stream-client.js'
import type { GroupRecordStore, GroupRecords } from './group-records.js'
import type { DeliveryContext } from './message.js'
import type { StreamConsumerSettings } from './options.js'
import { WATCH_INTERVAL_MS } from './orphan-watch.js'
import { PartitionFeed } from './partition-feed.js'

/** Within this time of the last one, the next mark of what may be started is set ahead, so that a fast reader writes few of them. */
const MARK_INTERVAL_MS = 100
/** Small, and doubled while it is too little: what is marked and was never handed out, an heir runs one by one as well. */
const MIN_LEAD = 16
const MAX_LEAD = 1_000
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
}

/** A partition from its assignment to its revocation: its feed, its position, its attempts. */
export class ActivePartition {
  readonly assignment: PartitionAssignment
  readonly #settings: ActiveSettings
  readonly #feed: PartitionFeed
  readonly #slots: AttemptSlots
  #data: SubscriptionHandle | undefined
  #owedCredits = 0
  /** Messages below may have been started, by what is on record. */
  #mark: number
  #lead = 0
  #markedAt = Number.NEGATIVE_INFINITY
  #handedOut: number | undefined
  #passed: number
  #position: number
  #savingPassed = false
  #alive: NodeJS.Timeout | undefined

  constructor(settings: ActiveSettings) {
    const { assignment, start, records, options } = settings
    this.#settings = settings
    this.assignment = assignment
    this.#slots = new AttemptSlots(records)
    this.#mark = records.started
    this.#position = start
    this.#passed = start
    this.#feed = new PartitionFeed(
      {
        assignment,
        stream: settings.stream,
        start,
        context: (offset) => this.#context(offset),
        wants: filterOf(options),
        starting: (last) => this.#starting(last),
        passed: (next, last) => this.#pass(next, last),
        credit: () => this.#credit(),
        report: (problem) => settings.sink.report(new Error(problem)),
        broken: settings.broken,
      },
      settings.sink,
    )
  }

  /** Starts the intake. */
  async subscribe(): Promise<void> {
    const { client, stream, start, options, group } = this.#settings
    const { chunksAhead, filterValues, matchUnfiltered } = options
    const filter =
      filterValues === undefined
        ? undefined
        : { values: [...filterValues], matchUnfiltered, postFilterFunc: () => true }
    this.#data = await client.subscribe(
      {
        stream,
        offset: Offset.offset(BigInt(start)),
        credit: chunksAhead,
        consumerTag: group,
        ...(filter === undefined ? {} : { filter }),
      },
      { chunk: (bytes) => this.#feed.push(bytes) },
    )
    if (this.#owedCredits > 0) client.credit(this.#data, this.#owedCredits)
    this.#alive = setInterval(() => this.#showLife(), WATCH_INTERVAL_MS)
    this.#alive.unref()
  }

  /** Nothing is handed out from now on; commits still work. */
  stop(): void {
    this.#feed.stop()
  }

  /** Lets go in good order: nothing is running any more, so that the next owner has no suspects. */
  async release(): Promise<void> {
    this.stop()
    clearInterval(this.#alive)
    this.#settings.store.saveStarted(0)
    const data = this.#data
    this.#data = undefined
    if (data !== undefined) await this.#settings.client.unsubscribe(data)
  }

  async commit(last: Delivery): Promise<void> {
    const offset = last.position as number
    const next = offset === this.#handedOut ? Math.max(this.#passed, offset + 1) : offset + 1
    await this.#settings.store.savePosition(next)
    this.#position = Math.max(this.#position, next)
    this.#slots.forget(next)
  }

  /** Keeps core's note of a message; resolves when the broker has it. */
  async note(delivery: Delivery, attempts: number): Promise<void> {
    const offset = delivery.position as number
    await this.#settings.store.saveFailed(this.#slots.claim(offset, attempts), { offset, attempts })
  }

  /** Handlers may take long: those who wait for the partition must not take that for death. */
  #showLife(): void {
    if (this.#data?.connection.failure !== undefined) clearInterval(this.#alive)
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
      this.#settings.store.savePosition(this.#passed).catch(() => {})
    }, this.#settings.options.commitIntervalMs).unref()
  }

  /** Chunks may come before the answer that names the subscription. */
  #credit(): void {
    if (this.#data === undefined) this.#owedCredits += 1
    else this.#settings.client.credit(this.#data, 1)
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
