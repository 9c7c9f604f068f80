import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { atMost } from '../at-most.js'
import type { Delivery } from '../consumer/delivery.js'
import type { GroupNames, TopicSpec } from '../contract/adapter.js'
import type { ConsumerDriver, ConsumerSink, PartitionAssignment, PartitionLag } from '../contract/consumer-driver.js'
import { Deque } from '../deque.js'
import { isStreamError, StreamError } from '../errors.js'
import { readOptions } from '../options/resolve.js'
import { withSignal } from '../session.js'
import { deadlineSignal } from '../time.js'
import type { Transport } from '../transport/transport.js'

/** Maximum number of deliveries waiting to be read. */
const MAX_WAITING = 500
/** How long another reader has to wait, unless the driver allows less, in milliseconds. */
const HANDOVER_MS = 10_000
/** How long without a delivery before the broker is asked whether anything is left, in milliseconds. */
const QUIET_MS = 500
/**
 * How long a counted message may be undelivered, in milliseconds: it may be in flight, which some brokers count neither
 * as waiting nor as delivered. After that, another reader has removed it.
 */
const IN_FLIGHT_MS = 3_000
/** Maximum number of unsettled deliveries from a broker that pushes: how far can be read without settling. */
const MAX_UNSETTLED = 10_000

export interface ReaderSettings {
  readonly transport: Transport
  readonly topic: TopicSpec
  /** The group that reads it. */
  readonly group: GroupNames
  /** Maximum time for connecting, and for each wait for the broker, in milliseconds. */
  readonly timeoutMs: number
  readonly signal: AbortSignal | undefined
}

/**
 * Reads a dead-letter topic from its reading group's committed offset to its end, once, with its own driver. Settles
 * nothing automatically: unsettled dead letters are delivered to the next reader again.
 */
export class DeadLetterReader {
  readonly driver: ConsumerDriver
  readonly #settings: ReaderSettings
  readonly #waiting = new Deque<Delivery>()
  readonly #rooms: (() => void)[] = []
  /** Number of records that the group had not settled when this was opened. */
  total = 0
  #read = 0
  #settled = 0
  #failure: StreamError | undefined
  #wake: () => void = () => {}
  #over = false
  #end: () => void = () => {}
  readonly #closed = new Promise<void>((resolve) => {
    this.#end = resolve
  })

  constructor(settings: ReaderSettings) {
    this.#settings = settings
    const { transport, topic } = settings
    const context = { subject: `the dead letters in '${topic.topic}'`, transport: transport.name, topic: topic.topic }
    this.driver = transport.driver.consumer(
      {
        topics: [topic],
        ...settings.group,
        member: `${hostname()}-${process.pid}-${randomBytes(4).toString('hex')}`,
        ordering: 'key',
        from: undefined,
        prefetch: MAX_UNSETTLED,
        maxHandlingMs: settings.timeoutMs,
        options: readOptions(transport.adapter.consumerOptions, {}, context),
      },
      this.#sink(),
    )
  }

  /** Joins the reading group. Rejects with a classified error, TIMEOUT when that takes too long. */
  async open(): Promise<void> {
    const { timeoutMs, signal } = this.#settings
    const deadline = deadlineSignal(timeoutMs)
    const either = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
    try {
      const before = await this.#unfinishedBefore()
      if (before === 0) return
      await withSignal(this.driver.open(either), either)
      this.total = before ?? (await this.#unfinished())
    } catch (cause) {
      if (!deadline.aborted || signal?.aborted === true) throw this.#classify(cause, 'open')
      throw this.#error('TIMEOUT', `could not be opened within ${timeoutMs} ms`, cause)
    }
  }

  /**
   * Yields the dead letters, oldest first within a partition. Ends when everything that the group hasn't settled has
   * been seen.
   */
  async *deliveries(): AsyncGenerator<Delivery, void> {
    let silentSince = performance.now()
    for (;;) {
      this.#settings.signal?.throwIfAborted()
      const delivery = this.#waiting.shift()
      if (delivery !== undefined) {
        this.#read += 1
        silentSince = performance.now()
        if (this.#waiting.length <= MAX_WAITING / 2) for (const room of this.#rooms.splice(0)) room()
        yield delivery
        continue
      }
      if (this.#failure !== undefined) throw this.#failure
      // Everything was seen: no need to wait longer.
      if (this.#read < this.total && (await this.#comes())) continue
      const left = await this.#unfinished()
      if (this.#waiting.length > 0) continue
      if (this.#isOver(left, performance.now() - silentSince)) return
    }
  }

  /** Returns whether everything was seen, with `left` unsettled. Throws when that can't be reached. */
  #isOver(left: number, silentMs: number): boolean {
    if (left <= this.#read - this.#settled) return this.#read >= this.total || silentMs >= IN_FLIGHT_MS
    this.#complain(left, silentMs)
    return false
  }

  /** These were settled: the group no longer counts them as unfinished. */
  settled(count: number): void {
    this.#settled += count
  }

  /** Leaves the group. Never rejects. */
  async close(): Promise<void> {
    this.#over = true
    this.#end()
    for (const room of this.#rooms.splice(0)) room()
    await this.driver.stop()
    await this.driver.close()
  }

  #sink(): ConsumerSink {
    return {
      assigned: () => {},
      revoked: async (partitions, how, deadlineMs) => {
        if (partitions.length === 0 || this.#over) return
        // A second reader may wait a moment.
        if (how === 'graceful') await atMost(this.#closed, deadlineMs ?? HANDOVER_MS)
        if (!this.#over) this.#fail(this.#error('CONFLICT', 'are being read by another process', undefined))
      },
      deliver: (_assignment: PartitionAssignment, deliveries) => {
        if (this.#over) return undefined
        for (const delivery of deliveries) this.#waiting.push(delivery)
        this.#wake()
        if (this.#waiting.length < MAX_WAITING) return undefined
        return new Promise((resolve) => this.#rooms.push(resolve))
      },
      capacity: () => Math.max(0, MAX_WAITING - this.#waiting.length),
      lost: (error) => this.#fail(this.#classify(error, 'read')),
      outOfRange: () => 'earliest',
      partitionStopped: (_assignment, error) => {
        this.#fail(this.#classify(error, 'read'))
        return 'wait'
      },
      partitionResumed: () => {},
      startIgnored: () => {},
      report: (error) => this.#settings.transport.logger.warn(this.#classify(error, 'read').message),
    }
  }

  #fail(error: StreamError): void {
    this.#failure ??= error
    this.#wake()
  }

  /** Waits for a delivery. Returns false when none arrived for a while. */
  #comes(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (value: boolean): void => {
        clearTimeout(timer)
        this.#wake = () => {}
        resolve(value)
      }
      const timer = setTimeout(() => settle(false), QUIET_MS)
      this.#wake = () => settle(true)
    })
  }

  /** Queried while nothing moves, which makes it exact; `undefined` when the reading group is new. */
  async #unfinishedBefore(): Promise<number | undefined> {
    const { transport, topic } = this.#settings
    try {
      return sumOf(await transport.admin.lag(topic, this.#settings.group.brokerGroup))
    } catch (error) {
      if (isStreamError(error) && error.code === 'NOT_FOUND') return undefined
      throw error
    }
  }

  async #unfinished(): Promise<number> {
    const { transport, timeoutMs } = this.#settings
    try {
      return sumOf(await withSignal(this.driver.lag?.() ?? Promise.resolve([]), deadlineSignal(timeoutMs)))
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure
      throw transport.adapter.classifyError(error, 'lag', this.#settings.topic.topic)
    }
  }

  #complain(left: number, silentMs: number): void {
    const seen = this.#read - this.#settled
    if (seen >= MAX_UNSETTLED && this.driver.settlement === 'individual')
      throw this.#error(
        'RESOURCE_EXHAUSTED',
        `are ${left}, and ${this.#settings.transport.name} shows no more than ${MAX_UNSETTLED} at a time: replay or discard the oldest first`,
        undefined,
      )
    if (silentMs < this.#settings.timeoutMs) return
    throw this.#error(
      'TIMEOUT',
      `are ${left}, of which ${seen} were delivered within ${this.#settings.timeoutMs} ms: another process may be reading them`,
      undefined,
    )
  }

  #classify(cause: unknown, operation: string): StreamError {
    return this.#settings.transport.adapter.classifyError(cause, operation, this.#settings.topic.topic)
  }

  #error(code: 'TIMEOUT' | 'CONFLICT' | 'RESOURCE_EXHAUSTED', what: string, cause: unknown): StreamError {
    const { topic, transport } = this.#settings
    return new StreamError(`the dead letters in '${topic.topic}' ${what}`, {
      code,
      retryable: code !== 'RESOURCE_EXHAUSTED',
      transport: transport.name,
      topic: topic.topic,
      operation: 'read',
      cause,
    })
  }
}

function sumOf(lags: readonly PartitionLag[]): number {
  return lags.reduce((sum, { lag }) => sum + lag, 0)
}
