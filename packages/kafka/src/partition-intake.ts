import { type ConsumerSink, type Delivery, Deque, historyOf, type PartitionAssignment } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import type { Unreadable } from './batch-reader.js'
import { type CommitMetadata, encodeMetadata } from './commit-metadata.js'
import type { Committable } from './commit-queue.js'
import type { Fetched } from './group-member.js'
import { offsetOf, toDelivery } from './message.js'
import { PROCESS } from './process-name.js'
import type { IntakeStart } from './start-offsets.js'

/** Minimum and maximum number of deliveries announced ahead in the commit metadata. */
const MIN_AHEAD = 50
const MAX_AHEAD = 2_000

export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
  /** The announced offset. */
  readonly deliveredBelow: number
}

/** What an intake requires of its driver. */
export interface IntakeHost {
  readonly sink: ConsumerSink
  /** Bytes that may wait here before fetching pauses. */
  readonly maxWaitingBytes: number
  /** Minimum time between two commits that only skip offsets without messages, in milliseconds. */
  readonly settleIntervalMs: number
  /**
   * Reading has failed. Returns how long to wait before the retry, in milliseconds; `undefined`: skip what can't be
   * read.
   */
  unreadable(intake: PartitionIntake, unreadable: Unreadable): number | undefined
  /** What could not be read has been read. */
  readable(intake: PartitionIntake): void
  pause(intake: PartitionIntake): void
  resume(intake: PartitionIntake): void
  /** Commits soon, so that more deliveries are announced. */
  announce(intake: PartitionIntake): void
}

/**
 * One partition in one assignment: what was fetched and waits for room in core's inbox, how far it was delivered, what
 * is done.
 * Nothing is delivered that the commit metadata has not announced before: after a crash the successor knows what may
 * have been running.
 */
export class PartitionIntake implements Committable<Position> {
  readonly assignment: PartitionAssignment
  readonly brokerTopic: string
  /** Recorded handler starts, by offset. */
  readonly attempts: Map<number, number>
  clean = false
  readonly #host: IntakeHost
  readonly #waiting = new Deque<KafkaMessage>()
  readonly #suspectBelow: number
  #waitingBytes = 0
  #done: number
  #delivered: number
  #fetchedBelow: number
  #nothingBelow = 0
  #passing = false
  /** Reading has failed at this offset. */
  #failedAt: number | undefined
  #blocked = false
  #deliveredAtCommit: number
  #announced: number
  #committed: number
  /** How far the last commit announced ahead: twice what was delivered between two commits. */
  #window = MIN_AHEAD
  #announcing = false
  #scheduled = false
  #full = false
  #paused = false
  #stopped = false

  constructor(assignment: PartitionAssignment, brokerTopic: string, start: IntakeStart, host: IntakeHost) {
    this.assignment = assignment
    this.brokerTopic = brokerTopic
    this.attempts = new Map(start.attempts)
    this.#suspectBelow = start.suspectBelow
    this.#host = host
    this.#done = start.offset
    this.#delivered = start.offset
    this.#fetchedBelow = start.offset
    this.#deliveredAtCommit = start.offset
    this.#announced = start.offset
    this.#committed = start.offset
  }

  get partition(): number {
    return this.assignment.partition
  }

  /** The first offset that is not done. */
  get done(): number {
    return this.#done
  }

  /** The first offset that was not fetched yet. */
  get fetchedBelow(): number {
    return this.#fetchedBelow
  }

  /**
   * Returns how many messages could have been delivered by now, in a log that is readable up to an offset. Offsets
   * without messages may be counted.
   */
  undelivered(stableOffset: number): number {
    const unread = Math.max(0, stableOffset - Math.max(this.#fetchedBelow, this.#nothingBelow))
    // Unreadable records aren't a fault of the connection.
    return this.#waiting.length + (this.#failedAt === undefined ? unread : 0)
  }

  /** Accepts fetched messages. Returns the offset to continue at; `undefined` once stopped. */
  take({ messages, below, nothingBelow, unreadable }: Fetched): number | undefined {
    if (this.#stopped) return undefined
    this.#fetchedBelow = Math.max(this.#fetchedBelow, below)
    this.#nothingBelow = Math.max(this.#nothingBelow, nothingBelow)
    if (this.#failedAt !== undefined && this.#fetchedBelow > this.#failedAt) {
      this.#failedAt = undefined
      this.#host.readable(this)
    }
    if (messages.length === 0) {
      if (unreadable !== undefined) this.#fail(unreadable)
      if (this.#pass()) this.#commitPassed()
      return this.#fetchedBelow
    }
    for (const message of messages) {
      this.#waiting.push(message)
      this.#waitingBytes += sizeOf(message)
    }
    this.#regulate()
    // Later, so that the next fetch is in flight before handlers use this turn of the event loop.
    if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.#feed()
      })
    }
    return this.#fetchedBelow
  }

  /** Resumes there: what is in between is no longer in the log. */
  skipTo(offset: number): void {
    this.#fetchedBelow = Math.max(this.#fetchedBelow, offset)
    if (this.#pass()) this.#commitPassed()
  }

  /** Delays reading, since it has failed here before. */
  recall(failedAt: number, delayMs: number): void {
    this.#failedAt = failedAt
    this.#block(delayMs)
  }

  #fail(unreadable: Unreadable): void {
    const delayMs = this.#host.unreadable(this, unreadable)
    if (delayMs !== undefined) {
      this.#failedAt = this.#fetchedBelow
      this.#block(delayMs)
    } else if (unreadable.range !== undefined)
      this.#fetchedBelow = Math.max(this.#fetchedBelow, unreadable.range.last + 1)
  }

  #block(delayMs: number): void {
    this.#blocked = true
    this.#regulate()
    setTimeout(() => {
      this.#blocked = false
      if (!this.#stopped) this.#regulate()
    }, delayMs).unref()
  }

  /** Stops delivering and drops waiting messages. */
  stop(): void {
    this.#stopped = true
    this.#waiting.clear()
    this.#waitingBytes = 0
  }

  /** Everything up to this offset is done. */
  settle(offset: number): void {
    this.#done = Math.max(this.#done, offset + 1)
    this.#pass()
    for (const noted of this.attempts.keys()) if (noted < this.#done) this.attempts.delete(noted)
  }

  position(): Position {
    this.#window = Math.min(MAX_AHEAD, Math.max(MIN_AHEAD, 2 * (this.#delivered - this.#deliveredAtCommit)))
    this.#deliveredAtCommit = this.#delivered
    const deliveredBelow = this.#stopped ? this.#delivered : Math.max(this.#announced, this.#nextOffset + this.#window)
    const metadata: CommitMetadata = { owner: PROCESS, deliveredBelow, clean: this.clean, attempts: this.attempts }
    return {
      topic: this.brokerTopic,
      partition: this.partition,
      offset: this.#done,
      metadata: encodeMetadata(this.#done, metadata),
      deliveredBelow,
    }
  }

  committed(position: Position): void {
    this.#announced = Math.max(this.#announced, position.deliveredBelow)
    this.#committed = position.offset
    this.#announcing = false
    this.#feed()
  }

  /** A commit requested by `announce` has failed: requests it again if it is still needed. */
  announceAgain(): void {
    this.#announcing = false
    if (this.#waiting.length === 0 && this.#committed < this.#done && this.#done >= this.#delivered)
      this.#commitPassed()
    this.#feed()
  }

  /**
   * Offsets behind the last message that hold none (transaction markers, gaps of compaction) are done once everything
   * before them is. Returns whether there were any.
   */
  #pass(): boolean {
    // Once stopped nothing waits any more, and what was dropped was never delivered.
    if (this.#stopped || this.#waiting.length > 0) return false
    if (this.#done < this.#delivered || this.#fetchedBelow <= this.#done) return false
    this.#deliveredAtCommit += this.#fetchedBelow - this.#delivered
    this.#delivered = this.#fetchedBelow
    this.#done = this.#fetchedBelow
    return true
  }

  /** Commits skipped offsets, once for all that are skipped in the meantime. */
  #commitPassed(): void {
    if (this.#passing) return
    this.#passing = true
    setTimeout(() => {
      this.#passing = false
      if (!this.#stopped) this.#host.announce(this)
    }, this.#host.settleIntervalMs).unref()
  }

  /** The offset that is delivered next, as far as known: offsets may have gaps (compaction, transactions). */
  get #nextOffset(): number {
    const next = this.#waiting.peek()
    return next === undefined ? this.#delivered : offsetOf(next)
  }

  #feed(): void {
    while (!this.#full && !this.#stopped && this.#waiting.length > 0) {
      const deliveries = this.#nextDeliveries()
      if (deliveries.length === 0) break
      const room = this.#host.sink.deliver(this.assignment, deliveries)
      if (room === undefined) continue
      this.#full = true
      void room.then(() => {
        this.#full = false
        this.#feed()
      })
    }
    if (this.#stopped) return
    this.#announceAhead()
    this.#regulate()
  }

  #nextDeliveries(): Delivery[] {
    const room = Math.max(1, this.#host.sink.capacity(this.assignment))
    const deliveries: Delivery[] = []
    while (deliveries.length < room) {
      const message = this.#waiting.peek()
      if (message === undefined) break
      const offset = offsetOf(message)
      if (offset >= this.#announced) break
      this.#waiting.shift()
      this.#waitingBytes -= sizeOf(message)
      this.#delivered = offset + 1
      deliveries.push(
        toDelivery(message, offset, this.assignment, {
          ...historyOf(this.attempts.get(offset) ?? 0),
          suspect: offset < this.#suspectBelow,
        }),
      )
    }
    return deliveries
  }

  /**
   * Announces more before the limit is reached, so that delivering need not wait for the commit. The regular commits of
   * a slow topic suffice.
   */
  #announceAhead(): void {
    if (this.#announcing || this.#waiting.length === 0 || this.#announced - this.#nextOffset >= this.#window / 2) return
    this.#announcing = true
    this.#host.announce(this)
  }

  /** Pauses fetching while enough is waiting; what is fetched meanwhile hides the delay of a resume. */
  #regulate(): void {
    const { maxWaitingBytes } = this.#host
    const enough = this.#paused ? maxWaitingBytes / 2 : maxWaitingBytes
    const wanted = this.#blocked || this.#waitingBytes >= enough
    if (wanted === this.#paused) return
    this.#paused = wanted
    if (wanted) this.#host.pause(this)
    else this.#host.resume(this)
  }
}

function sizeOf(message: KafkaMessage): number {
  return (message.value?.length ?? 0) + (message.key?.length ?? 0) + 64
}
