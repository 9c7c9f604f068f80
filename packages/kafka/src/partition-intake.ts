import { type ConsumerSink, type Delivery, Deque, historyOf, type PartitionAssignment } from '@streamswitch/core/driver'
import type { KafkaMessage } from 'kafkajs'
import { type CommitMetadata, encodeMetadata } from './commit-metadata.js'
import type { Committable } from './commit-queue.js'
import { offsetOf, toDelivery } from './message.js'
import { PROCESS } from './process-name.js'
import type { IntakeStart } from './start-offsets.js'

/** Fewest and most deliveries that are announced ahead in the commit metadata. */
const MIN_AHEAD = 50
const MAX_AHEAD = 2_000

export interface Position {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly metadata: string
  /** What the metadata announces. */
  readonly deliveredBelow: number
}

/** What an intake asks of its driver. */
export interface IntakeHost {
  readonly sink: ConsumerSink
  /** Bytes that may wait here before fetching pauses. */
  readonly maxWaitingBytes: number
  pause(intake: PartitionIntake): void
  resume(intake: PartitionIntake): void
  /** Commits soon, so that more deliveries are announced. */
  announce(intake: PartitionIntake): void
}

/**
 * One partition in one assignment: what was fetched and waits for room in core's inbox, how far it was delivered, what is done.
 *
 * Nothing is delivered that the commit metadata has not announced before: after a crash the successor knows what may have been
 * at work.
 */
export class PartitionIntake implements Committable<Position> {
  readonly assignment: PartitionAssignment
  readonly brokerTopic: string
  /** Handler starts on record, by offset. */
  readonly attempts: Map<number, number>
  clean = false
  readonly #host: IntakeHost
  readonly #waiting = new Deque<KafkaMessage>()
  readonly #suspectBelow: number
  #waitingBytes = 0
  #done: number
  #delivered: number
  #fetchedBelow: number
  #deliveredAtCommit: number
  #announced: number
  /** By how much the last commit announced ahead: twice what was delivered between two commits. */
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

  /** Takes what was fetched. Returns false once stopped. */
  take(messages: readonly KafkaMessage[]): boolean {
    if (this.#stopped) return false
    for (const message of messages) {
      this.#waiting.push(message)
      this.#waitingBytes += sizeOf(message)
    }
    const last = messages.at(-1)
    if (last !== undefined) this.#fetchedBelow = offsetOf(last) + 1
    this.#regulate()
    // Later, so that the next fetch is on its way before handlers take this turn of the event loop.
    if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(() => {
        this.#scheduled = false
        this.#feed()
      })
    }
    return true
  }

  /** Delivers nothing any more and drops what waits. */
  stop(): void {
    this.#stopped = true
    this.#waiting.clear()
    this.#waitingBytes = 0
  }

  /** Everything up to this offset is done. */
  settle(offset: number): void {
    this.#done = Math.max(this.#done, offset + 1)
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
    this.#announcing = false
    this.#feed()
  }

  /** The commit that was to announce more has failed: asks again where it is still needed. */
  announceAgain(): void {
    this.#announcing = false
    this.#feed()
  }

  /** The offset that is delivered next, as far as it is known: offsets may have gaps (compaction, transactions). */
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

  /** Announces more before the limit is reached, so that delivering need not wait for the commit. The regular commits of a slow topic do it anyway. */
  #announceAhead(): void {
    if (this.#announcing || this.#waiting.length === 0 || this.#announced - this.#nextOffset >= this.#window / 2) return
    this.#announcing = true
    this.#host.announce(this)
  }

  /** Pauses fetching while enough waits here; what is fetched meanwhile hides the time that a resume takes. */
  #regulate(): void {
    const { maxWaitingBytes } = this.#host
    if (!this.#paused && this.#waitingBytes >= maxWaitingBytes) {
      this.#paused = true
      this.#host.pause(this)
    } else if (this.#paused && this.#waitingBytes < maxWaitingBytes / 2) {
      this.#paused = false
      this.#host.resume(this)
    }
  }
}

function sizeOf(message: KafkaMessage): number {
  return (message.value?.length ?? 0) + (message.key?.length ?? 0) + 64
}
