import {
  type Backoff,
  backoffDelayMs,
  type ConsumerSink,
  type Delivery,
  Deque,
  type PartitionAssignment,
} from '@streamswitch/core/driver'
import { Chunk, type ChunkEntry } from './chunk.js'
import { type DeliveryContext, toDelivery } from './message.js'
import { STREAM_FORM } from './native-form.js'
import { NativeMessage } from './native-message.js'
import { unpack } from './sub-entries.js'

/** Most messages of one delivery: small enough that the inbox's limits hold. */
const DELIVERY_LIMIT = 500
/** Between two tries to read what could not be read. */
const UNREADABLE_BACKOFF: Backoff = { minDelayMs: 1_000, maxDelayMs: 60_000, factor: 2 }

export interface FeedSettings {
  readonly assignment: PartitionAssignment
  readonly stream: string
  /** The first offset that is wanted; what a chunk holds before it is passed over. */
  readonly start: number
  readonly maxDecompressedBytes: number
  /** What is on record of a message. */
  context(offset: number): DeliveryContext
  /** False: the message is passed over, as done. */
  readonly wants: ((delivery: Delivery) => boolean) | undefined
  /** Called before messages are handed out: they may be started from now on. */
  starting(last: number): void
  /** Everything below `next` was handed out or passed over; `last` is the last that was handed out, if any was. */
  passed(next: number, last: number | undefined): void
  /** Lets the broker send another chunk. */
  credit(): void
  /**
   * Nothing of what lies between `expected` and `next`, where the chunk that follows begins, was delivered: records of the broker, messages that a filter
   * withholds, or what retention has removed unread. True: go on with that chunk. False: the feed has been replaced.
   */
  gap(expected: number, next: number): Promise<boolean>
  broken(error: unknown): void
}

/**
 * Hands the chunks of one assignment to core, in order, no more than it has room for. The broker gets a credit for each chunk
 * once it is through, so that it sends no more than fits. Replaces the library's way, which runs as many handlers at once as it
 * has credits, and loses a credit for each handler that throws.
 */
export class PartitionFeed {
  readonly assignment: PartitionAssignment
  readonly #settings: FeedSettings
  readonly #sink: ConsumerSink
  readonly #chunks = new Deque<Chunk>()
  /** Chunks behind a gap that is being looked into, and those that have a batch to unpack. */
  readonly #held = new Set<Chunk>()
  #expected: number
  #waiting = false
  #stopped = false
  /** Waits for the next try to unpack a batch. */
  #retry: NodeJS.Timeout | undefined

  constructor(settings: FeedSettings, sink: ConsumerSink) {
    this.assignment = settings.assignment
    this.#settings = settings
    this.#expected = settings.start
    this.#sink = sink
  }

  /** Where the next chunk begins, if there is no gap before it. */
  get expected(): number {
    return this.#expected
  }

  /** A chunk has arrived. */
  push(bytes: Buffer): void {
    if (this.#stopped) return
    let chunk: Chunk
    try {
      chunk = new Chunk(bytes)
    } catch (error) {
      return this.#settings.broken(error)
    }
    this.#chunks.push(chunk)
    if (chunk.firstOffset > this.#expected) void this.#lookInto(chunk, this.#expected)
    this.#expected = Math.max(this.#expected, chunk.end)
    this.#pump()
  }

  /** Asked as soon as the chunk has arrived: retention may go on while it waits for room. */
  async #lookInto(chunk: Chunk, expected: number): Promise<void> {
    this.#held.add(chunk)
    try {
      if (!(await this.#settings.gap(expected, chunk.firstOffset))) return
    } catch (error) {
      if (!this.#stopped) this.#settings.broken(error)
      return
    }
    this.#held.delete(chunk)
    this.#pump()
  }

  /** Nothing is handed out from now on. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#retry)
    this.#chunks.clear()
    this.#held.clear()
  }

  #pump(): void {
    while (!this.#stopped && !this.#waiting) {
      const chunk = this.#chunks.peek()
      if (chunk === undefined || this.#held.has(chunk)) return
      try {
        this.#handOut(chunk)
      } catch (error) {
        return this.#settings.broken(error)
      }
      if (chunk.packed !== undefined && !this.#waiting) return void this.#unpack(chunk, 1)
      if (!chunk.done) continue
      this.#chunks.shift()
      this.#settings.credit()
    }
  }

  #handOut(chunk: Chunk): void {
    const limit = Math.min(DELIVERY_LIMIT, Math.max(1, this.#sink.capacity(this.assignment)))
    const entries = chunk.read(limit, this.#settings.start)
    const last = entries.at(-1)
    if (last === undefined) return
    const deliveries = this.#deliveries(chunk, entries)
    this.#settings.passed(last.offset + 1, deliveries.at(-1)?.position as number | undefined)
    if (deliveries.length === 0) return
    this.#settings.starting(last.offset)
    const room = this.#sink.deliver(this.assignment, deliveries)
    if (room === undefined) return
    this.#waiting = true
    void room.then(() => {
      this.#waiting = false
      this.#pump()
    })
  }

  /** Goes on once the batch is unpacked, or, where it can't be, once it may be passed over. */
  async #unpack(chunk: Chunk, attempt: number): Promise<void> {
    const { maxDecompressedBytes, passed } = this.#settings
    const { packed } = chunk
    this.#held.add(chunk)
    try {
      await unpack(chunk, this.assignment.topic, maxDecompressedBytes)
      if (this.#stopped) return
    } catch (error) {
      if (this.#stopped) return
      if (this.#sink.partitionStopped(this.assignment, error) === 'wait') {
        const delayMs = backoffDelayMs(UNREADABLE_BACKOFF, attempt)
        this.#retry = setTimeout(() => void this.#unpack(chunk, attempt + 1), delayMs)
        this.#retry.unref()
        return
      }
      chunk.skipPacked()
      if (packed !== undefined) passed(packed.firstOffset + packed.count, undefined)
    }
    this.#sink.partitionResumed(this.assignment)
    this.#held.delete(chunk)
    this.#pump()
  }

  #deliveries(chunk: Chunk, entries: readonly ChunkEntry[]): Delivery[] {
    const { stream, context, wants } = this.#settings
    const deliveries: Delivery[] = []
    for (const { offset, bytes } of entries) {
      const native = new NativeMessage(stream, offset, chunk.timestamp, bytes)
      const delivery = toDelivery(this.assignment, native, context(offset), STREAM_FORM)
      if (wants === undefined || wants(delivery)) deliveries.push(delivery)
    }
    return deliveries
  }
}
