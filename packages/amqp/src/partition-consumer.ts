import { type ConsumerSink, type Delivery, type PartitionAssignment, StreamError } from '@streamswitch/core/driver'
import type { Channel, ConsumeMessage } from 'amqplib'
import { AckTracker } from './ack-tracker.js'
import type { AmqpConnection } from './connection.js'
import type { Epochs } from './epochs.js'
import { toDelivery } from './message.js'
import type { DeliveryHistory } from './redeliveries.js'
import { ReturnGate } from './return-gate.js'
import { ACK_TIMEOUT_MS } from './topology.js'

export interface PartitionSettings {
  /** As the user names it. */
  readonly topic: string
  /** `TopicSpec.origin`. */
  readonly origin: string
  readonly partition: number
  readonly queue: string
  readonly prefetch: number
  readonly connection: AmqpConnection
  readonly sink: ConsumerSink
  readonly epochs: Epochs
  readonly redeliveries: DeliveryHistory
  /** Several members consume at the same time, so that what was given back may come at any time. */
  readonly shared: boolean
  /** The queue is to have no other consumer. Default false. */
  readonly exclusive?: boolean
  /** The broker has made this member the active one although it didn't hold the partition. */
  readonly promoted: (consumer: PartitionConsumer) => void
  /** The broker has ended the channel, or the queue is gone (`cancelled`). The assignment has been revoked. */
  readonly interrupted: (consumer: PartitionConsumer, error: unknown, cancelled: boolean) => void
}

/**
 * One partition's queue, consumed on a separate channel: from `open` until the channel ends, possibly as a standby that
 * receives nothing. Releasing it means closing the channel, which returns what wasn't started, in order.
 */
export class PartitionConsumer {
  readonly partition: number
  readonly #settings: PartitionSettings
  #channel: Channel | undefined
  #tracker = new AckTracker()
  /** Delivered to this process and not acked, by delivery tag. */
  #unacked = new Map<number, ConsumeMessage>()
  /** Not handed to core yet. */
  #arrived: ConsumeMessage[] = []
  #assignment: PartitionAssignment | undefined
  #flushScheduled = false
  #waiting = false
  #opening = false
  #started = false
  #stopped = false
  /** Being handed over: what arrives now goes back. */
  #leaving = false
  readonly #returning = new ReturnGate()
  #changes: Promise<void> = Promise.resolve()
  #pending = 0
  /** Returned by core: none of their handlers has run. */
  #released: Delivery[] = []
  /** Delivery tags of what goes back and is on record as such, or need not be. */
  readonly #accounted = new Set<number>()

  constructor(settings: PartitionSettings) {
    this.#settings = settings
    this.partition = settings.partition
  }

  /** The assignment that core knows, if there is one. */
  get assignment(): PartitionAssignment | undefined {
    return this.#assignment
  }

  get unacked(): number {
    return this.#unacked.size
  }

  /** The delivery is in this member's hands: the broker gives nothing of the partition to another one. */
  holds(assignment: PartitionAssignment, delivery: Delivery): boolean {
    return assignment === this.#assignment && this.#unacked.has(delivery.position as number)
  }

  get isOpen(): boolean {
    return this.#channel !== undefined
  }

  /** Registers the consumer, under this priority. From now on the broker may deliver. */
  async open(priority: number): Promise<void> {
    const channel = await this.prepare()
    await this.consume(channel, priority)
  }

  /** Opens the channel for `consume`; nothing is delivered yet. */
  async prepare(): Promise<Channel> {
    const { connection, queue, prefetch } = this.#settings
    await this.#closeChannel()
    this.#reset()
    let opened: Channel | undefined
    const channel = await connection.openChannel((error, connectionGone) => this.#closed(opened, error, connectionGone))
    opened = channel
    this.#channel = channel
    await this.#whileOpening(channel, connection.call(`consume ${queue}`, channel.prefetch(prefetch)))
    return channel
  }

  /** Starts deliveries on the channel that `prepare` has opened. */
  async consume(channel: Channel, priority: number): Promise<void> {
    const { connection, queue, exclusive = false } = this.#settings
    await this.#whileOpening(
      channel,
      connection.call(
        `consume ${queue}`,
        channel.consume(queue, (message) => this.#receive(channel, message), {
          priority,
          exclusive,
          arguments: { 'x-consumer-timeout': ACK_TIMEOUT_MS },
        }),
      ),
    )
  }

  /** Registers the consumer again under another priority. Core keeps its assignment: call it while nothing is unacked. */
  async openAgain(priority: number): Promise<void> {
    const assignment = this.#assignment
    await this.end()
    try {
      const channel = await this.prepare()
      this.#assignment = assignment
      await this.consume(channel, priority)
    } catch (error) {
      this.#assignment = undefined
      if (assignment !== undefined && !this.#stopped) void this.#settings.sink.revoked([assignment], 'lost')
      throw error
    }
  }

  async #whileOpening(channel: Channel, call: Promise<unknown>): Promise<void> {
    this.#opening = true
    try {
      await call
    } catch (error) {
      // The caller decides: this is no interruption of what was open.
      if (this.#channel === channel) this.#channel = undefined
      throw error
    } finally {
      this.#opening = false
    }
  }

  /** Tells core that the partition is this member's. */
  assign(): PartitionAssignment {
    if (this.#assignment !== undefined) return this.#assignment
    const { topic, origin, partition, sink, epochs } = this.#settings
    const assignment = { topic, origin, partition, epoch: epochs.next() }
    this.#assignment = assignment
    sink.assigned([assignment])
    return assignment
  }

  /**
   * Lets the partition go: core finishes what runs, acks are written, what wasn't started is noted and goes back to the queue.
   * The channel is closed then; `open` may follow.
   */
  async handOver(): Promise<void> {
    await this.#returning.whenOpen()
    const assignment = this.#assignment
    this.#leaving = true
    if (assignment !== undefined) await this.#settings.sink.revoked([assignment], 'graceful')
    this.#assignment = undefined
    await this.end()
  }

  /** Runs one change after the other: closing, opening and restoring must not overlap. */
  async serialize(change: () => Promise<void>): Promise<void> {
    this.#pending += 1
    const run = this.#changes.then(change)
    // One that fails doesn't keep the next from running.
    this.#changes = run.catch(() => {})
    try {
      await run
    } finally {
      this.#pending -= 1
    }
  }

  /** A change runs, or waits for another. */
  get isChanging(): boolean {
    return this.#pending > 0
  }

  /** Writes acks, in as few frames as the order of completion allows. */
  ack(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    const channel = this.#channel
    if (channel === undefined || assignment !== this.#assignment) throw gone(assignment)
    const tags: number[] = []
    for (const delivery of deliveries) {
      const tag = delivery.position as number
      const message = this.#unacked.get(tag)
      if (message === undefined) continue
      this.#unacked.delete(tag)
      tags.push(tag)
      if (message.fields.redelivered || delivery.attempt > 1) this.#settings.redeliveries.settled(message)
    }
    this.#returning.finished(tags.length)
    const { upTo, singles } = this.#tracker.settle(tags)
    if (upTo !== undefined) channel.ack(tagged(upTo), true)
    for (const tag of singles) channel.ack(tagged(tag))
  }

  /** Resolves once the broker has all acks written so far: it answers calls of a channel after what came before. */
  async acksTaken(): Promise<void> {
    const { connection, prefetch } = this.#settings
    if (this.#channel !== undefined) await connection.call('settle', this.#channel.prefetch(prefetch))
  }

  /** Core won't run these. In a shared queue they go back at once; in an ordered one they stay until the channel closes. */
  release(assignment: PartitionAssignment, deliveries: readonly Delivery[]): void {
    if (assignment !== this.#assignment) return
    for (const delivery of deliveries) this.#released.push(delivery)
  }

  /** Hands over what has arrived so far, and from now on what arrives. */
  start(): void {
    this.#started = true
    this.#flush()
  }

  /** Nothing is handed to core any more. */
  stop(): void {
    this.#stopped = true
    this.#returning.close()
  }

  /** Gives back what is unacked, in order, by closing the channel; acks written before are kept. Never rejects. */
  async end(): Promise<void> {
    this.#leaving = true
    // What arrives while it is being noted goes back as well.
    do await this.#noteReturned()
    while (this.#arrived.length > 0)
    await this.#closeChannel()
  }

  /**
   * Records returned messages that were never started, or whose handler was still running when the time for a clean shutdown
   * was over, so that they aren't mistaken for those that a dead process was handling. Suspects that were not started
   * remain suspects.
   */
  async #noteReturned(): Promise<void> {
    const arrived = this.#arrived
    for (const { suspect, position } of this.#released) if (suspect) this.#accounted.add(position as number)
    for (const { fields } of arrived) this.#accounted.add(fields.deliveryTag)
    const returned = [...this.#unacked].filter(([tag]) => !this.#accounted.has(tag))
    for (const [tag] of returned) this.#accounted.add(tag)
    this.#released = []
    this.#arrived = []
    await this.#settings.redeliveries.giveBack(
      returned.map(([, message]) => message),
      arrived,
    )
  }

  /** Ends for good. The connection, and with it the channel, is closed by the owner. */
  close(): void {
    this.stop()
    this.#channel = undefined
    this.#assignment = undefined
    // What is still to be noted would be written over the notes of the next owner.
    this.#settings.redeliveries.reset()
  }

  /** The connection is lost: core has been notified. */
  connectionLost(): void {
    this.#settings.redeliveries.lost(this.#unacked.values())
    this.close()
  }

  #reset(): void {
    this.#tracker = new AckTracker()
    this.#unacked = new Map()
    this.#arrived = []
    this.#released = []
    this.#accounted.clear()
    this.#assignment = undefined
    this.#settings.redeliveries.reset()
    this.#waiting = false
    this.#leaving = false
    this.#returning.reset()
  }

  #receive(channel: Channel, message: ConsumeMessage | null): void {
    if (channel !== this.#channel) return
    if (message === null) return this.#interrupt(channel, cancelled(this.#settings), true)
    this.#unacked.set(message.fields.deliveryTag, message)
    this.#returning.delivered(message.fields.redelivered)
    this.#arrived.push(message)
    if (this.#flushScheduled || this.#stopped || !this.#started) return
    this.#flushScheduled = true
    // What one read from the socket brought goes to core in one piece.
    queueMicrotask(() => {
      this.#flushScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    const { redeliveries } = this.#settings
    while (
      this.#arrived.length > 0 &&
      !this.#waiting &&
      !this.#stopped &&
      !this.#leaving &&
      this.#channel !== undefined
    ) {
      if (this.#assignment === undefined) this.#settings.promoted(this)
      const assignment = this.assign()
      const batch = this.#arrived.splice(0, Math.max(1, this.#settings.sink.capacity(assignment)))
      if (batch.some((message) => message.fields.redelivered) && !redeliveries.isRead) {
        this.#arrived.unshift(...batch)
        return this.#readHistory(assignment)
      }
      const room = this.#settings.sink.deliver(
        assignment,
        batch.map((message) => toDelivery(message, assignment, redeliveries.historyOf(message))),
      )
      if (this.#settings.shared) redeliveries.reset()
      if (room === undefined) continue
      this.#pauseFor(assignment, room)
    }
  }

  #pauseFor(assignment: PartitionAssignment, resumed: Promise<void>): void {
    this.#waiting = true
    void resumed.then(() => {
      if (this.#assignment !== assignment) return
      this.#waiting = false
      this.#flush()
    })
  }

  /** Something was delivered before: what is on record about it must be known before it is handed on. */
  #readHistory(assignment: PartitionAssignment): void {
    const read = this.#settings.redeliveries.read().catch((error: unknown) => {
      if (!this.#settings.connection.gone) this.#settings.sink.report(error)
    })
    this.#pauseFor(assignment, read)
  }

  async #closeChannel(): Promise<void> {
    const channel = this.#channel
    this.#channel = undefined
    if (channel === undefined || this.#settings.connection.gone) return
    await this.#settings.connection.call('close a channel', channel.close()).catch(() => {})
  }

  #closed(channel: Channel | undefined, error: unknown, connectionGone: boolean): void {
    if (channel === undefined || channel !== this.#channel || connectionGone || this.#opening) return
    this.#interrupt(channel, error, false)
  }

  #interrupt(channel: Channel, error: unknown, isCancelled: boolean): void {
    if (channel !== this.#channel) return
    const assignment = this.#assignment
    this.#settings.redeliveries.lost(this.#unacked.values())
    this.#channel = undefined
    this.#reset()
    if (isCancelled) channel.close().catch(() => {})
    if (assignment !== undefined) void this.#settings.sink.revoked([assignment], 'lost')
    this.#settings.interrupted(this, error, isCancelled)
  }
}

function cancelled({ queue, topic }: PartitionSettings): StreamError {
  return new StreamError(
    `the broker cancelled the consumer of queue '${queue}': the queue was deleted, its node stopped, or (RabbitMQ 4.3) messages stayed unacked for longer than its consumer timeout`,
    { code: 'UNAVAILABLE', transport: 'amqp', operation: 'consume', topic },
  )
}

/** amqplib takes a message to ack, and looks at its tag only. */
function tagged(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage
}

function gone(assignment: PartitionAssignment): StreamError {
  return new StreamError(
    `partition ${assignment.partition} of '${assignment.topic}' was revoked before the message was acked: it will be handled again`,
    {
      code: 'ABORTED',
      retryable: false,
      transport: 'amqp',
      operation: 'ack',
      topic: assignment.topic,
    },
  )
}
