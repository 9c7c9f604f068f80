import type { Delivery } from '../consumer/delivery.js'
import type { ConsumerSpec, TopicSpec } from '../contract/adapter.js'
import type { ConsumerDriver, ConsumerSink, PartitionAssignment } from '../contract/consumer-driver.js'
import type { ProducerDriver, ProducerReady, ProducerSink } from '../contract/producer-driver.js'
import type { OutgoingRecord, PublishBatch } from '../contract/record.js'
import type {
  ReplyChannel,
  ReplyInboxDriver,
  ReplyInboxSink,
  ReplyInboxSpec,
  ReplySenderSpec,
} from '../contract/replies.js'
import { describe } from '../errors.js'
import { readOptions } from '../options/resolve.js'
import type { Transport } from '../transport/transport.js'
import { isInboxBelow } from './reply-address.js'

/** Name prefix of inboxes, after the transport's prefix. */
export const REPLIES = 'streamswitch-replies'
const GROUP = 'replies'
const PREFETCH = 1_000
/** Maximum number of inboxes for which a sender keeps a driver. */
const MAX_TARGETS = 100

/**
 * Returns how replies to the requests of `main` travel on a transport: the adapter's channel, else ordinary topics.
 */
export function channelOf(transport: Transport, main: Transport): ReplyChannel {
  const { replies } = transport.driver
  if (replies === undefined || (replies.ownRequestsOnly === true && main.name !== transport.name))
    return topicReplies(transport)
  return replies
}

/**
 * Replies by ordinary topics, one per caller, created at its first request and deleted when its transport is closed.
 */
function topicReplies(transport: Transport): ReplyChannel {
  const known = byTransport.get(transport)
  if (known !== undefined) return known
  const channel: ReplyChannel = {
    inbox: (spec, sink) => new TopicInbox(transport, spec, sink),
    sender: (spec, sink) => new TopicSender(transport, spec, sink),
    refusalOf: ({ inbox }) =>
      isInboxBelow(`${REPLIES}.`, inbox) ? undefined : `replies on ${transport.name} go to topics '${REPLIES}.…' only`,
  }
  byTransport.set(transport, channel)
  return channel
}

const byTransport = new WeakMap<Transport, ReplyChannel>()

function topicOf(transport: Transport, topic: string, ttlMs: number): TopicSpec {
  return transport.topicSpec(topic, { partitions: 1, retention: { maxAgeMs: ttlMs } })
}

class TopicInbox implements ReplyInboxDriver {
  readonly #transport: Transport
  readonly #topic: TopicSpec
  readonly #driver: ConsumerDriver

  constructor(transport: Transport, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#transport = transport
    this.#topic = topicOf(transport, `${REPLIES}.${spec.instance}`, spec.ttlMs)
    const consumer: ConsumerSpec = {
      topics: [this.#topic],
      ...transport.groupNames(GROUP),
      member: spec.instance,
      ordering: 'key',
      from: undefined,
      prefetch: PREFETCH,
      maxHandlingMs: 60_000,
      options: readOptions(transport.adapter.consumerOptions, {}, { subject: REPLIES, transport: transport.name }),
    }
    this.#driver = transport.driver.consumer(consumer, this.#sink(sink))
  }

  async open(signal: AbortSignal): Promise<string> {
    await this.#driver.open(signal)
    return this.#topic.topic
  }

  async probe(): Promise<void> {
    await this.#driver.probe?.()
  }

  async close(final: boolean): Promise<void> {
    await this.#driver.stop()
    await this.#driver.close()
    if (final && this.#topic.provision === 'create')
      await this.#transport.driver.admin.deleteTopic(this.#topic).catch(() => {})
  }

  #sink(sink: ReplyInboxSink): ConsumerSink {
    const report = (error: unknown): void =>
      this.#transport.logger.warn(`${REPLIES} on ${this.#transport.name}: ${describe(error)}`)
    return {
      assigned: () => {},
      revoked: async () => {},
      deliver: (assignment, deliveries) => {
        for (const { headers, bytes, timestamp } of deliveries) sink.reply({ headers, payload: bytes, timestamp })
        void this.#settle(assignment, deliveries).catch(() => {})
        return undefined
      },
      capacity: () => PREFETCH,
      // A record that is gone was late.
      outOfRange: () => 'earliest',
      partitionStopped: (_assignment, error) => {
        report(error)
        return 'wait'
      },
      partitionResumed: () => {},
      startIgnored: () => {},
      lost: sink.lost,
      report,
    }
  }

  /** Settles replies as they arrive: the process that waits for them is this one. */
  async #settle(assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    const last = deliveries.at(-1)
    if (last === undefined) return
    if (this.#driver.settlement === 'cumulative') await this.#driver.commit?.(assignment, last)
    else await this.#driver.ack?.(assignment, deliveries)
  }
}

interface Target {
  readonly lane: number
  readonly driver: ProducerDriver
  readonly opened: Promise<ProducerReady>
}

/** One driver per inbox behind a driver that accepts records for all of them. */
class TopicSender implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #transport: Transport
  readonly #spec: ReplySenderSpec
  readonly #sink: ProducerSink
  readonly #targets = new Map<string, Target>()
  readonly #closing = new AbortController()
  #lanes = 0

  constructor(transport: Transport, spec: ReplySenderSpec, sink: ProducerSink) {
    this.#transport = transport
    this.#spec = spec
    this.#sink = sink
  }

  async open(): Promise<ProducerReady> {
    return { partitions: 1, maxPayloadBytes: Number.POSITIVE_INFINITY }
  }

  laneOf(record: OutgoingRecord): number {
    return this.#target(record.key as string).lane
  }

  async publish(batch: PublishBatch): Promise<void> {
    const target = this.#target((batch.records[0] as OutgoingRecord).key as string)
    try {
      await target.opened
    } catch (error) {
      return batch.failAll(error)
    }
    // To the driver it is an ordinary topic, with one partition.
    const lane = target.driver.laneOf?.(batch.records[0] as OutgoingRecord) ?? 0
    await target.driver.publish({
      records: batch.records,
      lane,
      accept: (index, partition, offset) => batch.accept(index, partition, offset),
      acceptAll: (partition) => batch.acceptAll(partition),
      fail: (index, error) => batch.fail(index, error),
      failAll: (error) => batch.failAll(error),
    })
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all([...this.#targets.values()].map(({ driver }) => driver.close()))
    this.#targets.clear()
  }

  #target(topic: string): Target {
    const known = this.#targets.get(topic)
    if (known !== undefined) return known
    this.#lanes += 1
    const options = readOptions(
      this.#transport.adapter.producerOptions,
      {},
      { subject: REPLIES, transport: this.#transport.name },
    )
    const spec = { ...topicOf(this.#transport, topic, this.#spec.ttlMs), provision: 'none' as const }
    const driver = this.#transport.driver.producer({ topic: spec, options }, this.#sink)
    const target = { lane: this.#lanes, driver, opened: driver.open(this.#closing.signal) }
    target.opened.catch(() => this.#targets.delete(topic))
    this.#targets.set(topic, target)
    if (this.#targets.size > MAX_TARGETS) this.#dropOldest()
    return target
  }

  #dropOldest(): void {
    const [oldest] = this.#targets
    if (oldest === undefined) return
    this.#targets.delete(oldest[0])
    // Records in flight are sent again by the driver created for the inbox then.
    void oldest[1].driver.close()
  }
}
