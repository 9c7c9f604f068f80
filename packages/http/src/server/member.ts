import { type ConsumerSink, Delivery, Deque, type PartitionAssignment } from '@streamswitch/core/driver'
import { hashText } from '../client/rendezvous.js'
import { toDeliveryFields } from '../message.js'
import { type Outcome, problems } from '../wire/problem.js'
import type { HttpDestination } from './authorization.js'
import type { Entry, GroupMember } from './group-inbox.js'

export interface MemberSettings {
  readonly name: string
  /** As it is called in paths. */
  readonly group: string
  /** As the loop calls it. */
  readonly ownGroup: string
  readonly ordering: 'key' | 'none'
  readonly takesGet: boolean
  readonly takesBrowsers: boolean
  /** Maximum number of handler starts of a message. */
  readonly maxAttempts: number
  readonly maxWaitingRecords: number
  readonly maxWaitingBytes: number
}

/** Positions begin with this, so that those of an earlier process are others. */
const BOOT = `${Date.now().toString(36)}${Math.floor(Math.random() * 0x7fffffff).toString(36)}`
let positions = 0

/** One loop's share of a topic: carries what requests bring into core's inbox and its outcome back. */
export class Member implements GroupMember {
  readonly hash: number
  readonly ordering: 'key' | 'none'
  readonly takesGet: boolean
  readonly takesBrowsers: boolean
  readonly destination: HttpDestination
  open = true
  readonly assignment: PartitionAssignment
  readonly #settings: MemberSettings
  readonly #sink: ConsumerSink
  /** Not in core's inbox yet. */
  readonly #waiting = new Deque<Entry>()
  #waitingBytes = 0
  readonly #delivered = new Map<Delivery, Entry>()
  #full = false
  #scheduled = false

  constructor(assignment: PartitionAssignment, settings: MemberSettings, sink: ConsumerSink) {
    this.assignment = assignment
    this.hash = hashText(settings.name)
    this.ordering = settings.ordering
    this.takesGet = settings.takesGet
    this.takesBrowsers = settings.takesBrowsers
    this.destination = { topic: assignment.topic, group: settings.ownGroup }
    this.#settings = settings
    this.#sink = sink
  }

  take(entry: Entry): void {
    if (this.#full && this.#isCrowded(entry)) return entry.settle(problems.busy())
    this.#waiting.push(entry)
    this.#waitingBytes += entry.record.payload?.length ?? 0
    this.#schedule()
  }

  /** Reports the outcome of a delivery. One that is no longer running was answered before. */
  settle(delivery: Delivery, outcome: Outcome): void {
    const entry = this.#delivered.get(delivery)
    if (entry === undefined) return
    this.#delivered.delete(delivery)
    entry.settle(outcome)
  }

  /** Takes nothing more. What core hasn't seen goes back to its senders. */
  stop(): void {
    this.open = false
    for (let entry = this.#waiting.shift(); entry !== undefined; entry = this.#waiting.shift())
      entry.settle(problems.closing())
    this.#waitingBytes = 0
  }

  /** Gives back everything that has no outcome. */
  close(): void {
    this.stop()
    for (const delivery of [...this.#delivered.keys()]) this.settle(delivery, problems.closing())
  }

  #isCrowded(entry: Entry): boolean {
    const { maxWaitingRecords, maxWaitingBytes } = this.#settings
    return (
      this.#waiting.length >= maxWaitingRecords ||
      this.#waitingBytes + (entry.record.payload?.length ?? 0) > maxWaitingBytes
    )
  }

  // Once per turn: a batch of requests becomes a batch of deliveries.
  #schedule(): void {
    if (this.#scheduled || this.#full) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    while (!this.#full && this.#waiting.length > 0) {
      const room = Math.max(1, this.#sink.capacity(this.assignment))
      const deliveries: Delivery[] = []
      for (
        let entry = this.#waiting.peek();
        entry !== undefined && deliveries.length < room;
        entry = this.#waiting.peek()
      ) {
        this.#waiting.shift()
        this.#waitingBytes -= entry.record.payload?.length ?? 0
        deliveries.push(this.#toDelivery(entry))
      }
      const pause = this.#sink.deliver(this.assignment, deliveries)
      if (pause === undefined) continue
      this.#full = true
      void pause.then(() => {
        this.#full = false
        this.#deliver()
      })
    }
    this.#refuseCrowd()
  }

  /** What came in one turn may be more than may wait. */
  #refuseCrowd(): void {
    const { maxWaitingRecords } = this.#settings
    if (this.#waiting.length <= maxWaitingRecords) return
    const entries = [...this.#waiting]
    this.#waiting.clear()
    this.#waitingBytes = 0
    for (const [index, entry] of entries.entries()) {
      if (index >= maxWaitingRecords) entry.settle(problems.busy())
      else {
        this.#waiting.push(entry)
        this.#waitingBytes += entry.record.payload?.length ?? 0
      }
    }
  }

  #toDelivery(entry: Entry): Delivery {
    positions += 1
    const { group, maxAttempts } = this.#settings
    const fields = toDeliveryFields(entry.record, group, `${BOOT}-${positions.toString(36)}`, entry.record)
    const { priorAttempts = 0 } = fields
    // Whatever a sender counts: the handler is started, as the last time at most.
    const delivery = new Delivery(this.assignment, {
      ...fields,
      priorAttempts: Math.min(priorAttempts, maxAttempts - 1),
    })
    this.#delivered.set(delivery, entry)
    return delivery
  }
}
