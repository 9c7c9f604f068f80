import {
  Deque,
  isStreamError,
  messageOf,
  type OutgoingRecord,
  type PublishBatch,
  StreamError,
} from '@streamswitch/core/driver'
import { type ConfirmChannel, IllegalOperationError, type Options } from 'amqplib'
import { classifyError, headersTooLarge, replyCodeOf, unanswered } from './errors.js'
import { publishExact } from './exact-frames.js'
import { bodyOf, headerFrameBound, headerFrameBytes, messageIdOf, propertiesOf } from './message.js'
import { encodeOriginal } from './original-properties.js'

/** After an open, and after a refusal, records of one key go out one at a time for this long, in milliseconds. */
const CAREFUL_AFTER_OPEN_MS = 1_000
const CAREFUL_AFTER_NACK_MS = 10_000
/** What the broker may add to a message's headers, in bytes: where it was dropped, with three names of up to 255 bytes each, and counters. */
const BROKER_HEADER_BYTES = 2_048
/** How finely the watchdog measures. */
const WATCHDOG_TICKS = 10

export interface PublisherSettings {
  readonly topic: string
  readonly exchange: string
  /** Left out: the number of the record's lane, which is its partition. */
  readonly routingKeyOf?: (record: OutgoingRecord) => string
  readonly maxUnconfirmed: number
  /** Longest time without a confirm for a batch that has unconfirmed records, in milliseconds; the broker's blocking apart. */
  readonly confirmTimeoutMs: number
  readonly contentType: string | undefined
  /** Largest frame that was negotiated with the broker, in bytes. */
  readonly maxFrameBytes: number
  /** The error of a record that the broker gave back. */
  readonly unroutable: (record: OutgoingRecord) => StreamError
  /** Records carry their keys. */
  readonly keyed: boolean
  /** Unroutable records can't be meant: something is missing that this driver's `open` made. */
  readonly keepsUnrouted: boolean
  /** What of a record that is passed on isn't acted upon again is kept in a header. */
  readonly setsAside: boolean
  readonly lost: (error: unknown) => void
}

/** A batch on its way to the broker. */
class Job {
  readonly batch: PublishBatch
  readonly done: () => void
  /** The next record to write. */
  next = 0
  /** Written and not confirmed. */
  unconfirmed = 0
  /** When it last got on, by the watchdog's clock. */
  touched = 0

  constructor(batch: PublishBatch, done: () => void) {
    this.batch = batch
    this.done = done
  }

  get written(): boolean {
    return this.next === this.batch.records.length
  }
}

/**
 * Writes batches to a confirm channel, in order, as far as the window of unconfirmed records, the socket and the broker's memory
 * allow, and hands each confirm to its batch.
 */
export class Publisher {
  readonly #channel: ConfirmChannel
  readonly #settings: PublisherSettings
  readonly #waiting = new Deque<Job>()
  readonly #jobs = new Set<Job>()
  /** Lanes of which a record was refused: nothing more of them goes out before core sends from that record on. */
  readonly #failedLanes = new Map<number, unknown>()
  /** Ids that the broker gave back, until their confirm, which follows. */
  readonly #returned = new Map<string, number>()
  readonly #keysAtWork = new Set<string>()
  #careful = true
  #carefulTimer: NodeJS.Timeout | undefined
  readonly #watchdog: NodeJS.Timeout
  #clock = 0
  #unconfirmed = 0
  #full = false
  #blocked = false
  #ended = false

  constructor(channel: ConfirmChannel, settings: PublisherSettings) {
    this.#channel = channel
    this.#settings = settings
    channel.on('return', (message) => {
      const id = messageIdOf(message)
      if (id !== undefined) this.#returned.set(id, (this.#returned.get(id) ?? 0) + 1)
    })
    channel.on('drain', () => {
      this.#full = false
      this.#pump()
    })
    this.#beCareful(CAREFUL_AFTER_OPEN_MS)
    this.#watchdog = setInterval(() => this.#watch(), settings.confirmTimeoutMs / WATCHDOG_TICKS)
    this.#watchdog.unref()
  }

  /** Resolves when everything of the batch that will be reported has been. */
  publish(batch: PublishBatch): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      const job = new Job(batch, resolve)
      this.#jobs.add(job)
      this.#waiting.push(job)
      this.#pump()
    })
  }

  /** The broker takes no publishes for now. */
  block(blocked: boolean): void {
    this.#blocked = blocked
    for (const job of this.#jobs) job.touched = this.#clock
    this.#pump()
  }

  /** The channel is gone. What is unreported may or may not have been stored. */
  end(error: unknown): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#carefulTimer)
    clearInterval(this.#watchdog)
    this.#refuseOversized(error)
    this.#refuseForbidden(error)
    for (const job of this.#jobs) job.done()
    this.#jobs.clear()
    this.#waiting.clear()
  }

  #pump(): void {
    while (!this.#full && !this.#blocked && !this.#ended && this.#unconfirmed < this.#settings.maxUnconfirmed) {
      const job = this.#waiting.peek()
      if (job === undefined) return
      const failure = this.#failedLanes.get(job.batch.lane)
      if (failure !== undefined) this.#abandonRest(job, failure)
      else if (!this.#write(job)) return
      if (!job.written) continue
      this.#waiting.shift()
      this.#finish(job)
    }
  }

  /** Writes the next record. False when its key must wait. */
  #write(job: Job): boolean {
    const index = job.next
    const { records, lane } = job.batch
    const record = records[index] as (typeof records)[number]
    const key = this.#careful ? record.key : undefined
    if (key !== undefined) {
      if (this.#keysAtWork.has(key)) return false
      this.#keysAtWork.add(key)
    }
    job.next += 1
    try {
      const { exchange, contentType } = this.#settings
      const routingKey = this.#routingKeyOf(record, lane)
      const confirmed = (error: unknown): void => this.#confirmed(job, index, key, error)
      const properties = propertiesOf(record, record.contentType ?? contentType, this.#settings.keyed)
      const exact = this.#exactProperties(record, properties)
      this.#requireFrame(record, properties, exact)
      const room =
        exact === undefined
          ? this.#channel.publish(exchange, routingKey, bodyOf(record), properties, confirmed)
          : publishExact(this.#channel, exchange, routingKey, bodyOf(record), exact, confirmed)
      this.#full = !room
    } catch (error) {
      if (key !== undefined) this.#keysAtWork.delete(key)
      // On a closed channel the record stays unreported: `end` follows.
      if (!(error instanceof IllegalOperationError)) job.batch.fail(index, unsendable(error, this.#settings.topic))
      return true
    }
    job.unconfirmed += 1
    job.touched = this.#clock
    this.#unconfirmed += 1
    return true
  }

  /** The properties of a record that is passed on as it came. */
  #exactProperties(record: OutgoingRecord, properties: Options.Publish): Buffer | undefined {
    return record.original && encodeOriginal(record, record.original, properties, this.#settings.setsAside)
  }

  /** A header frame that is too large ends the whole connection, here or where the broker delivers the message with its own headers. */
  #requireFrame(record: OutgoingRecord, properties: Options.Publish, exact: Buffer | undefined): void {
    const room = this.#settings.maxFrameBytes - BROKER_HEADER_BYTES
    if (exact === undefined && headerFrameBound(record) <= room) return
    const bytes = headerFrameBytes(exact ?? properties)
    if (bytes > room) throw headersTooLarge(this.#settings.topic, bytes, this.#settings.maxFrameBytes, room)
  }

  #confirmed(job: Job, index: number, key: string | undefined, error: unknown): void {
    if (key !== undefined) this.#keysAtWork.delete(key)
    job.unconfirmed -= 1
    job.touched = this.#clock
    this.#unconfirmed -= 1
    if (error === null || error === undefined) this.#accept(job, index)
    else if (isNack(error)) this.#refused(job, index, error)
    // Anything else is the channel's end: nothing is known of the record, and `end` follows.
    else return
    this.#finish(job)
    this.#pump()
  }

  #accept(job: Job, index: number): void {
    const { batch } = job
    const record = batch.records[index] as (typeof batch.records)[number]
    if (this.#returned.size > 0 && this.#takeReturned(record.id)) {
      if (!this.#settings.keepsUnrouted) return batch.fail(index, this.#settings.unroutable(record))
      return this.#settings.lost(new Error('channel closed: the queue that keeps what no group takes is gone'))
    }
    batch.accept(index, batch.lane)
  }

  #refused(job: Job, index: number, error: unknown): void {
    job.batch.fail(index, error)
    this.#failedLanes.set(job.batch.lane, error)
    this.#beCareful(CAREFUL_AFTER_NACK_MS)
  }

  #abandonRest(job: Job, error: unknown): void {
    for (; job.next < job.batch.records.length; job.next += 1) job.batch.fail(job.next, error)
  }

  #finish(job: Job): void {
    if (!job.written || job.unconfirmed > 0 || !this.#jobs.delete(job)) return
    const { lane } = job.batch
    if (this.#failedLanes.has(lane) && ![...this.#jobs].some((other) => other.batch.lane === lane))
      this.#failedLanes.delete(lane)
    job.done()
  }

  #takeReturned(id: string): boolean {
    const count = this.#returned.get(id)
    if (count === undefined) return false
    if (count === 1) this.#returned.delete(id)
    else this.#returned.set(id, count - 1)
    return true
  }

  /** A broker that has just started may refuse one record of a queue and take the next: two of one key must not be out then. */
  #beCareful(forMs: number): void {
    this.#careful = true
    clearTimeout(this.#carefulTimer)
    this.#carefulTimer = setTimeout(() => {
      this.#careful = false
      this.#pump()
    }, forMs)
    this.#carefulTimer.unref()
  }

  /** A queue that never answers would hold its batch for ever, while others go on. */
  #watch(): void {
    this.#clock += 1
    if (this.#blocked) return
    for (const job of this.#jobs) {
      if (job.unconfirmed === 0 || this.#clock - job.touched <= WATCHDOG_TICKS) continue
      return this.#settings.lost(unanswered('confirm', this.#settings.confirmTimeoutMs))
    }
  }

  /** The broker closes the channel at a message that is too large for it, without saying which one it was. */
  #refuseOversized(error: unknown): void {
    const limit =
      replyCodeOf(error) === 406
        ? /larger than configured max size (\d+)/.exec(String((error as Error).message))?.[1]
        : undefined
    if (limit === undefined) return
    for (const { batch } of this.#jobs) {
      for (const [index, record] of batch.records.entries())
        if ((record.payload?.length ?? 0) > Number(limit))
          batch.fail(index, classifyError(error, 'send', this.#settings.topic))
    }
  }

  /** The broker closes the channel at a message for which the user lacks the right to write: asking again would be refused again. */
  #refuseForbidden(error: unknown): void {
    const forbidden = forbiddenKey(error)
    if (forbidden === undefined) return
    const refusal = classifyError(error, 'send', this.#settings.topic)
    for (const { batch } of this.#jobs) {
      for (const [index, record] of batch.records.entries())
        if ('exchange' in forbidden || this.#routingKeyOf(record, batch.lane) === forbidden.key)
          batch.fail(index, refusal)
    }
  }

  #routingKeyOf(record: OutgoingRecord, lane: number): string {
    return this.#settings.routingKeyOf?.(record) ?? String(lane)
  }
}

/** `exchange`: the user may not write to it at all. Else the routing key under which the user may not. */
function forbiddenKey(error: unknown): { readonly exchange: true } | { readonly key: string } | undefined {
  if (replyCodeOf(error) !== 403) return undefined
  const text = messageOf(error)
  if (/write access to exchange /.test(text)) return { exchange: true }
  const key = /write access to topic '(.*)' in exchange /s.exec(text)?.[1]
  return key === undefined ? undefined : { key }
}

function isNack(error: unknown): boolean {
  return error instanceof Error && error.message === 'message nacked'
}

function unsendable(error: unknown, topic: string): StreamError {
  if (isStreamError(error)) return error
  const reason = messageOf(error)
  const code = error instanceof RangeError && /exceeds the \d+ byte/.test(reason) ? 'TOO_LARGE' : 'INVALID_ARGUMENT'
  return new StreamError(`the message can't be written as AMQP: ${reason}`, {
    code,
    transport: 'amqp',
    operation: 'send',
    topic,
    cause: error,
  })
}
