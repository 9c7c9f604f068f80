import type { ConsumerSink, Delivery, FetchBudget, PartitionAssignment } from '@streamswitch/core/driver'
import { StreamError } from '@streamswitch/core/driver'
import type { Argument, Connection } from './connection.js'
import { isReply } from './errors.js'
import {
  ACK,
  CORRECT_READ,
  FENCED,
  GUARD_READ,
  HOLDS_LEASE,
  LAST_DELIVERED,
  STRAY,
  TAKE_PENDING,
} from './group-scripts.js'
import type { Partition } from './keys.js'
import { type Pending, type RawEntry, readEntries } from './message.js'
import { type Gap, ReadCount } from './read-count.js'
import type { Script } from './script.js'
import type { WakeUp } from './wake-up.js'

/** What the readers of one member share. */
export interface ReaderContext {
  readonly connection: Connection
  readonly wakeUp: WakeUp
  readonly sink: ConsumerSink
  readonly group: string
  /** The consumer that entries are pending for. */
  readonly consumer: string
  readonly budget: FetchBudget
  /** Maximum number of entries per fetch. */
  readonly maxFetchEntries: number
}

export interface ReaderEvents {
  /** The partition belongs to another member. */
  fenced(): void
  /** An earlier owner has read entries that this one must read again. */
  stray(): void
  /** Stream or group no longer exist. */
  groupGone(): void
  failed(error: unknown): void
  /** Called before each fetch, for entries that must be delivered first. */
  claimed?(): Promise<readonly Delivery[]>
  /** Called with entries that are about to be delivered. */
  delivering?(deliveries: readonly Delivery[]): readonly Delivery[]
}

/** Assumed size of a message while nothing is known, in bytes: the first fetch is small. */
const UNKNOWN_BYTES = 128 * 1024

/** Delivers the entries of one partition to core: first the pending ones, then new ones, as there is room. */
export class PartitionReader {
  readonly assignment: PartitionAssignment
  readonly partition: Partition
  readonly token: string
  readonly #context: ReaderContext
  readonly #events: ReaderEvents
  #stopped = false
  #done: Promise<void> = Promise.resolve()
  #averageBytes = UNKNOWN_BYTES
  #count = new ReadCount()
  #lastId = ''

  constructor(
    context: ReaderContext,
    partition: Partition,
    assignment: PartitionAssignment,
    token: string,
    events: ReaderEvents,
  ) {
    this.#context = context
    this.partition = partition
    this.assignment = assignment
    this.token = token
    this.#events = events
  }

  /** The last new entry that the group has received, as far as this reader knows; empty before it has checked. */
  get lastId(): string {
    return this.#lastId
  }

  /** @param pending - what is known of pending entries; default: there are none. */
  start(pending: Pending | undefined): void {
    this.#done = this.#run(pending).catch((error: unknown) => {
      if (this.#stopped) return
      this.#stopped = true
      if (isReply(error, 'NOGROUP')) this.#events.groupGone()
      else this.#events.failed(error)
    })
  }

  /** Nothing is delivered after this call; resolves when no call of this reader is in flight. */
  stop(): Promise<void> {
    this.#stopped = true
    this.#context.wakeUp.wake(this.partition.stream)
    return this.#done
  }

  async #run(pending: Pending | undefined): Promise<void> {
    if (pending !== undefined) await this.#readPending(pending)
    let ahead: Promise<readonly RawEntry[]> | undefined
    try {
      while (!this.#stopped) {
        const claimed = await this.#events.claimed?.()
        if (claimed !== undefined && claimed.length > 0) await this.#deliver(claimed)
        const entries = await (ahead ?? this.#fetchWithRoom())
        ahead = undefined
        if (this.#stopped) return
        if (entries.length === 0) {
          await this.#waitForMore()
        } else {
          ahead = this.#fetchAhead(entries.length)
          await this.#deliverEntries(entries, undefined)
        }
      }
    } finally {
      await ahead?.catch(() => {})
    }
  }

  /** New entries, as many as fit, once any do. */
  async #fetchWithRoom(): Promise<readonly RawEntry[]> {
    const room = await this.#room()
    return room === 0 || this.#stopped ? [] : this.#fetch('>', room)
  }

  /**
   * Fetches what follows entries that are about to be delivered: the server reads while handlers run. Only the single
   * owner of a partition reads ahead; in shared partitions it would take entries from other members that it can't
   * handle yet.
   */
  #fetchAhead(delivering: number): Promise<readonly RawEntry[]> | undefined {
    const room = this.#context.sink.capacity(this.assignment) - delivering
    if (this.token === '' || room < delivering) return undefined
    const ahead = this.#fetch('>', room)
    // It may fail while handlers run, before it is awaited.
    ahead.catch(() => {})
    return ahead
  }

  async #readPending(pending: Pending): Promise<void> {
    await this.#takePending()
    let from = '0-0'
    while (!this.#stopped) {
      const room = await this.#room()
      if (room === 0 || this.#stopped) return
      const entries = await this.#fetch(from, room)
      const last = entries.at(-1)
      if (last === undefined) return
      await this.#deliverEntries(await this.#withAttempts(entries), pending)
      from = String(last[0])
    }
  }

  /** Claims the pending entries of other consumers. */
  async #takePending(): Promise<void> {
    const { connection, group, consumer } = this.#context
    if (this.token === '') return
    let gone = 0
    for (let cursor = '0-0'; !this.#stopped; ) {
      const reply = await connection.run(TAKE_PENDING, this.#keys, [this.token, group, consumer, cursor])
      if (!Array.isArray(reply)) return this.#fenced()
      const [next, deleted] = reply as [Buffer, number]
      gone += deleted
      cursor = next.toString()
      if (cursor === '0-0') break
    }
    if (gone > 0) this.#reportDeleted(gone)
  }

  /** @param from - '>' for new entries, else the id at which to continue among the pending ones. */
  async #fetch(from: string, room: number): Promise<readonly RawEntry[]> {
    const { connection, group, consumer, maxFetchEntries, budget } = this.#context
    const fitting = Math.max(1, Math.floor(budget.bytes / this.#averageBytes))
    const count = Math.min(room, maxFetchEntries, fitting)
    const read = ['XREADGROUP', 'GROUP', group, consumer, 'COUNT', count, 'STREAMS', this.partition.stream, from]
    const isNew = from === '>'
    const guard = isNew
      ? checkBefore(GUARD_READ, this.#keys, this.token, this.#count.isUnknown ? group : '')
      : checkBefore(HOLDS_LEASE, this.#keys, this.token)
    const measured = budget.begin(() => connection.arrivedBytes)
    const answer =
      this.token === ''
        ? connection.call(...(read as [string])).then((only) => [undefined, only])
        : connection.transaction([guard, read])
    const [verdict, reply] = await answer.finally(() => measured.ended())
    if (String(verdict) === FENCED) this.#fenced()
    if (String(verdict) === STRAY && !this.#stopped) {
      this.#stopped = true
      this.#events.stray()
    }
    const streams = reply as readonly [Buffer, readonly RawEntry[]][] | null
    const entries = this.#stopped ? [] : (streams?.[0]?.[1] ?? [])
    const last = entries.at(-1)
    if (isNew && last !== undefined) this.#lastId = String(last[0])
    if (!isNew || this.token === '' || this.#stopped) return entries
    const ids = entries.map(([id]) => String(id))
    const gap = this.#count.note(verdict, ids, count)
    if (gap !== undefined) await this.#passedOver(gap)
    return entries
  }

  /** Somebody has trimmed the stream (`XTRIM`) faster than the group has read it. */
  async #passedOver({ after, first, last, count, read }: Gap): Promise<void> {
    const { sink } = this.#context
    const { topic, number: partition } = this.partition
    let policy: 'earliest' | 'latest'
    try {
      policy = sink.outOfRange({ topic, partition, offset: after, first, last })
    } catch (error) {
      // The group stays in front of what is gone, so that the next loop hears of it too.
      await this.#correct(after, read)
      throw error
    }
    // What has been read is handled in any case.
    await this.#correct(policy === 'latest' ? '$' : this.#count.last, this.#count.read ?? read)
    if (policy === 'latest') this.#count = new ReadCount()
    sink.removed?.({ topic, partition, from: after, to: first, messages: count })
  }

  async #correct(id: string, read: number): Promise<void> {
    const { connection, group } = this.#context
    await connection.run(CORRECT_READ, this.#keys, [this.token, group, id, read])
  }

  async #waitForMore(): Promise<void> {
    const { connection, group, wakeUp } = this.#context
    const last = await connection.run(
      LAST_DELIVERED,
      [this.partition.stream, this.partition.lease],
      [this.token, group],
    )
    if (last === null || this.#stopped) return
    this.#lastId = String(last)
    await wakeUp.wait(this.partition, this.token, this.#lastId)
  }

  async #withAttempts(entries: readonly RawEntry[]): Promise<readonly RawEntry[]> {
    const ids = entries.map(([id]) => id)
    const attempts = (await this.#context.connection.call(
      'HMGET',
      this.partition.attempts,
      ...ids,
    )) as (Buffer | null)[]
    return entries.map(([id, fields], index) => {
      const counted = attempts[index]
      return counted === null || counted === undefined ? [id, fields] : [id, fields, counted]
    })
  }

  async #deliverEntries(entries: readonly RawEntry[], pending: Pending | undefined): Promise<void> {
    const { deliveries, deleted } = readEntries(entries, this.assignment, pending)
    const bytes = deliveries.reduce((sum, delivery) => sum + delivery.size, 0)
    if (deliveries.length > 0) this.#averageBytes = Math.max(1, bytes / deliveries.length)
    if (deleted.length > 0) await this.#forgetDeleted(deleted)
    await this.#deliver(deliveries)
  }

  async #forgetDeleted(ids: readonly string[]): Promise<void> {
    await this.#context.connection.run(ACK, this.#keys, [this.token, this.#context.group, ...ids])
    this.#reportDeleted(ids.length)
  }

  #reportDeleted(count: number): void {
    const { topic, number } = this.partition
    this.#context.sink.removed?.({ topic, partition: number, from: undefined, to: undefined, messages: count })
    this.#context.sink.report(
      new StreamError(
        `${count} messages of partition ${number} of '${topic}' were deleted before group '${this.#context.group}' had acked them`,
        {
          code: 'NOT_FOUND',
          retryable: false,
          transport: 'redis',
          operation: 'consume',
          topic,
        },
      ),
    )
  }

  async #deliver(all: readonly Delivery[]): Promise<void> {
    if (this.#stopped) return
    const deliveries = this.#events.delivering?.(all) ?? all
    if (deliveries.length > 0) await this.#context.sink.deliver(this.assignment, deliveries)
  }

  /** Returns how much fits, after waiting until something does; 0 when the partition accepts nothing any more. */
  async #room(): Promise<number> {
    const { sink } = this.#context
    let room = sink.capacity(this.assignment)
    if (room > 0) return room
    // An empty delivery waits for room.
    await sink.deliver(this.assignment, [])
    room = sink.capacity(this.assignment)
    return this.#stopped ? 0 : room
  }

  #fenced(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#events.fenced()
  }

  get #keys(): string[] {
    return [this.partition.stream, this.partition.lease, this.partition.attempts]
  }
}

function checkBefore(script: Script, keys: readonly string[], ...args: readonly string[]): Argument[] {
  return ['EVAL', script.source, 2, keys[0] as string, keys[1] as string, ...args]
}
