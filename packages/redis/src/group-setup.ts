import {
  type ConsumerSink,
  type ConsumerSpec,
  isStreamError,
  type StartPosition,
  StreamError,
  startOf,
  type TopicSpec,
} from '@streamswitch/core/driver'
import type { Connection } from './connection.js'
import { ENSURE_GROUP, SKIP_TRIMMED } from './group-scripts.js'
import type { Incarnation } from './incarnations.js'
import { FORMAT_VERSION, type Partition, partitionsOf } from './keys.js'
import { namesEntry, outsideOf, startId } from './position.js'
import { type ProvisionedTopic, provisionTopic } from './topic.js'
import { TopicWatch, type WatchedTopic } from './topic-watch.js'

type Outcome = 'existed' | 'created' | 'recreated' | 'missing'

/** Creates or checks the topics of a loop and its group in each partition. */
export class GroupSetup {
  readonly #connection: Connection
  readonly #spec: ConsumerSpec
  readonly #incarnation: Incarnation
  readonly #sink: ConsumerSink
  readonly #absent = new Set<string>()
  #watch = new TopicWatch([], 'loop')

  constructor(connection: Connection, spec: ConsumerSpec, incarnation: Incarnation, sink: ConsumerSink) {
    this.#connection = connection
    this.#spec = spec
    this.#incarnation = incarnation
    this.#sink = sink
  }

  /** Returns the partitions of every topic. */
  async open(): Promise<Partition[]> {
    const { topics, brokerGroup } = this.#spec
    const partitions: Partition[] = []
    const watched: WatchedTopic[] = []
    for (const topic of topics) {
      const { partitions: count, recorded } = await this.#provision(topic)
      partitions.push(...partitionsOf(topic, count, brokerGroup))
      this.#incarnation.partitions.set(topic.topic, count)
      if (recorded) watched.push({ spec: topic, partitions: count })
    }
    this.#watch = new TopicWatch(watched, 'loop')
    if (this.#incarnation.joined) {
      await Promise.all(partitions.map((partition) => this.ensureIfThere(partition)))
      return partitions
    }
    const outcomes = await Promise.all(partitions.map((partition) => this.ensure(partition, false)))
    this.#tell(partitions, outcomes)
    this.#incarnation.joined = true
    return partitions
  }

  /** A topic of a list that was deleted while the loop was disconnected keeps its position in it. */
  async #provision(topic: TopicSpec): Promise<ProvisionedTopic> {
    const before = this.#incarnation.partitions.get(topic.topic)
    try {
      const found = await provisionTopic(this.#connection, topic, before)
      return before === undefined || found.recorded ? found : { partitions: before, recorded: false }
    } catch (error) {
      if (before === undefined || !this.#mayMiss(topic, error)) throw error
      return { partitions: before, recorded: false }
    }
  }

  /**
   * As `ensure`, for a loop that was a member before. Resolves with false, and reports it once, when the topic or its
   * group was deleted and the loop has others that continue without it.
   */
  async ensureIfThere(partition: Partition): Promise<boolean> {
    const topic = this.#spec.topics.find((one) => one.topic === partition.topic)
    try {
      await this.ensure(partition, true)
    } catch (error) {
      if (topic === undefined || !this.#mayMiss(topic, error)) throw error
      if (!this.#absent.has(topic.topic)) this.#sink.report(error)
      this.#absent.add(topic.topic)
      return false
    }
    this.#absent.delete(partition.topic)
    return true
  }

  /** Topics that a pattern found are handled separately. */
  #mayMiss(topic: TopicSpec, error: unknown): error is StreamError {
    const isListed = this.#spec.topics.length > 1 && (topic.groups === undefined || topic.native)
    return isListed && isStreamError(error) && error.code === 'NOT_FOUND'
  }

  /**
   * Reports when the metadata of a topic were lost, damaged or restored. Rejects with CONFLICT when the number of
   * partitions of a topic has changed.
   */
  async checkTopics(): Promise<void> {
    for (const { error, changed } of await this.#watch.check(this.#connection)) {
      if (changed) throw error
      this.#sink.report(error)
    }
  }

  /**
   * @param known - the group has existed before: if it is missing it was lost, and resumes at its stored position,
   *   never at the end.
   */
  async ensure(partition: Partition, known: boolean): Promise<Outcome> {
    const topic = this.#spec.topics.find((one) => one.topic === partition.topic)
    // Creating the group creates its stream, so a topic that may be deleted must exist.
    if (known && topic?.provision === 'verify') await provisionTopic(this.#connection, topic)
    const outcome = await this.#make(partition, startOf(this.#spec.from, partition.number), known)
    if (outcome === 'recreated')
      this.#report(partition, 'was lost and has been recreated: messages since its last acks are redelivered')
    if (outcome === 'missing') {
      throw this.#error(partition, `doesn't exist; create it, or open the transport with provision: 'create'`, known)
    }
    return outcome
  }

  async #make(partition: Partition, from: StartPosition | undefined, known: boolean): Promise<Outcome> {
    const { brokerGroup, topics } = this.#spec
    const spec = topics.find((one) => one.topic === partition.topic)
    const provision = spec?.groups ?? spec?.provision ?? 'create'
    const args = [brokerGroup, startId(from), provision, known ? '1' : '', FORMAT_VERSION, namesEntry(from)]
    const reply = await this.#connection.run(ENSURE_GROUP, [partition.stream, partition.lease], args)
    const outside = outsideOf(reply)
    if (outside === undefined) return String(reply) as Outcome
    const { topic, number } = partition
    const position = (reply as readonly Buffer[])[3]?.toString()
    if (position !== undefined) {
      const policy = this.#sink.outOfRange({ topic, partition: number, offset: position, ...outside })
      await this.#connection.run(SKIP_TRIMMED, [partition.stream], [brokerGroup, policy])
      const messages = Number((reply as readonly unknown[])[4])
      this.#sink.removed?.({ topic, partition: number, from: position, to: outside.first, messages })
      return 'existed'
    }
    const offset = typeof from === 'object' && 'offset' in from ? from.offset : ''
    return this.#make(partition, this.#sink.outOfRange({ topic, partition: number, offset, ...outside }), known)
  }

  #tell(partitions: readonly Partition[], outcomes: readonly Outcome[]): void {
    if (this.#incarnation.joined) return
    for (const [index, { topic }] of partitions.entries())
      if (outcomes[index] === 'existed' || outcomes[index] === 'recreated') this.#sink.startIgnored(topic)
  }

  #report(partition: Partition, what: string): void {
    this.#sink.report(this.#error(partition, what, false))
  }

  #error(partition: Partition, what: string, retryable: boolean): StreamError {
    return new StreamError(
      `group '${this.#spec.group}' of partition ${partition.number} of '${partition.topic}' ${what}`,
      {
        code: 'NOT_FOUND',
        retryable,
        transport: 'redis',
        operation: 'open',
        topic: partition.topic,
      },
    )
  }
}
