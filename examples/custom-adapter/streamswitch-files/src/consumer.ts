import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  type Delivery,
  type PartitionAssignment,
  type PartitionLag,
  type StartPosition,
  withSignal,
} from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { classifyError, lostPartition } from './errors.js'
import type { LogRecord } from './message.js'
import { TopicMember } from './topic-member.js'

/** Receives from all topics of one loop. */
export class FilesConsumerDriver implements ConsumerDriver {
  readonly settlement = 'cumulative'
  readonly redelivery = 'core'
  /** A commit writes and replaces a file: twenty per second are enough. */
  readonly settleIntervalMs = 50
  readonly #connection: Connection
  readonly #spec: ConsumerSpec
  readonly #sink: ConsumerSink
  #topics: TopicMember[] = []
  #lost = false
  #closed = false

  constructor(connection: Connection, spec: ConsumerSpec, sink: ConsumerSink) {
    this.#connection = connection
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<void> {
    await withSignal(this.#join(), signal)
    const first = await Promise.all(this.#topics.map(async (topic) => ({ topic, taken: await topic.balance() })))
    signal.throwIfAborted()
    this.#sink.assigned(first.flatMap(({ taken }) => taken))
    for (const { topic, taken } of first) {
      topic.deliver(taken)
      topic.tend()
    }
  }

  async commit(assignment: PartitionAssignment, last: Delivery): Promise<void> {
    await this.#call('ack', assignment, (topic) => topic.commit(assignment, (last.native as LogRecord).next))
  }

  async seek(assignment: PartitionAssignment, position: StartPosition): Promise<void> {
    await this.#call('seek', assignment, (topic) => topic.seek(assignment, position))
  }

  async lag(): Promise<readonly PartitionLag[]> {
    try {
      return (await Promise.all(this.#topics.map((topic) => topic.lag()))).flat()
    } catch (error) {
      throw classifyError(error, 'lag')
    }
  }

  async stop(): Promise<void> {
    for (const topic of this.#topics) topic.stop()
  }

  probe(): Promise<void> {
    return this.#connection.probe()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#topics.map((topic) => topic.close()))
  }

  async #join(): Promise<void> {
    for (const topicSpec of this.#spec.topics) {
      const failed = (error: unknown) => this.#fail(classifyError(error, 'receive', topicSpec.topic))
      const member = await TopicMember.join(this.#connection, topicSpec, this.#spec, this.#sink, failed)
      this.#topics.push(member)
      // Closed meanwhile: the time to connect was over.
      if (this.#closed) await member.close()
    }
  }

  async #call<T>(
    operation: string,
    assignment: PartitionAssignment,
    call: (topic: TopicMember) => Promise<T>,
  ): Promise<T> {
    const topic = this.#topics.find((one) => one.topic.name === assignment.topic)
    if (topic === undefined) throw lostPartition(assignment.topic, assignment.partition)
    try {
      return await call(topic)
    } catch (error) {
      throw classifyError(error, operation, assignment.topic)
    }
  }

  #fail(error: unknown): void {
    if (this.#lost || this.#closed) return
    this.#lost = true
    this.#sink.lost(error)
  }
}
