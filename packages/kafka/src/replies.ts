import {
  isStreamError,
  type OutgoingRecord,
  type ProducerDriver,
  type ProducerReady,
  type ProducerSink,
  type PublishBatch,
  type ReplyChannel,
  type ReplyInboxDriver,
  type ReplyInboxSink,
  type ReplyInboxSpec,
  type ReplySenderSpec,
  StreamError,
  type TopicSpec,
} from '@streamswitch/core/driver'
import { offsetOf, toDelivery } from './message.js'
import type { PartitionReader } from './partition-reader.js'
import { KafkaProducerDriver, type ProducerParts } from './producer.js'

/**
 * Number of partitions of the topic of replies when it is created here: callers are spread over them, so that each
 * reads its share of all replies.
 */
const PARTITIONS = 8

/** A partition and the instance of an inbox. Whatever the address, replies are only sent to the topic of replies. */
const ADDRESS = /^\d{1,5}\/[a-z0-9]{1,40}$/

const HISTORY = { priorAttempts: 0, wasAtWork: false, suspect: false }

type TopicSource = Pick<ReplySenderSpec, 'brokerName' | 'ttlMs' | 'provision'>

/**
 * Replies by one topic that all callers below a prefix share: each reads one partition of it, without a group, from its
 * end on, and skips replies to others. Only records remain of a caller, which the topic's short retention drops.
 */
export function kafkaReplies(parts: ProducerParts): ReplyChannel {
  return {
    inbox: (spec, sink) => new KafkaInbox(parts, spec, sink),
    sender: (spec, sink) => new KafkaReplySender(parts, spec, sink),
    refusalOf: ({ inbox, brokerName }) =>
      ADDRESS.test(inbox) ? undefined : `replies can only be sent to partitions of the topic '${brokerName}'`,
  }
}

function topicOf({ brokerName, ttlMs, provision }: TopicSource, partitions: number | undefined): TopicSpec {
  return {
    topic: brokerName,
    brokerTopic: brokerName,
    derivedName: brokerName,
    origin: brokerName,
    native: false,
    prefixed: true,
    partitions,
    retention: { maxAgeMs: ttlMs },
    provision,
    role: 'topic',
  }
}

/** Returns the number of partitions of the topic of replies: that of the existing topic, if there is one. */
async function provision({ admin }: ProducerParts, source: TopicSource, signal: AbortSignal): Promise<number> {
  try {
    return (await admin.provision({ ...topicOf(source, undefined), provision: 'verify' }, signal)).partitions
  } catch (error) {
    if (source.provision !== 'create' || !isStreamError(error) || error.code !== 'NOT_FOUND') throw error
  }
  return (await admin.provision(topicOf(source, PARTITIONS), signal)).partitions
}

class KafkaInbox implements ReplyInboxDriver {
  readonly #parts: ProducerParts
  readonly #spec: ReplyInboxSpec
  readonly #sink: ReplyInboxSink
  #reader: PartitionReader | undefined

  constructor(parts: ProducerParts, spec: ReplyInboxSpec, sink: ReplyInboxSink) {
    this.#parts = parts
    this.#spec = spec
    this.#sink = sink
  }

  async open(signal: AbortSignal): Promise<string> {
    const { instance, brokerName, progress } = this.#spec
    const partition = Number.parseInt(instance.slice(0, 8), 16) % (await provision(this.#parts, this.#spec, signal))
    const address = `${partition}/${instance}`
    const key = Buffer.from(address)
    const assignment = { topic: brokerName, partition, epoch: 0 }
    const reader = await this.#parts.connection.reader({ topic: brokerName, partition }, signal)
    this.#reader = reader
    progress.position = await reader.start(progress.position as number | undefined)
    reader.run(
      (message) => {
        const offset = offsetOf(message)
        progress.position = offset + 1
        if (message.key?.equals(key) !== true) return
        const { headers, bytes, timestamp } = toDelivery(message, offset, assignment, HISTORY)
        this.#sink.reply({ headers, payload: bytes, timestamp })
      },
      (error) => this.#sink.lost(error),
    )
    return address
  }

  async close(): Promise<void> {
    await this.#reader?.close()
  }
}

/** Publishes to the topic of replies: each record to its caller's partition. */
class KafkaReplySender implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #parts: ProducerParts
  readonly #spec: ReplySenderSpec
  readonly #producer: KafkaProducerDriver
  readonly #closing = new AbortController()
  #partitions = 0

  constructor(parts: ProducerParts, spec: ReplySenderSpec, sink: ProducerSink) {
    this.#parts = parts
    this.#spec = spec
    this.#producer = new KafkaProducerDriver(parts, { topic: topicOf(spec, undefined), options: {} as never }, sink)
  }

  async open(signal: AbortSignal): Promise<ProducerReady> {
    this.#partitions = await provision(this.#parts, this.#spec, signal)
    return this.#producer.open(signal)
  }

  laneOf({ key = '' }: OutgoingRecord): number {
    return Number(key.slice(0, key.indexOf('/')))
  }

  async publish(batch: PublishBatch): Promise<void> {
    try {
      // A request may name any partition: one that doesn't exist would be retried until the handler's time is over.
      if (batch.lane >= this.#partitions)
        this.#partitions = await provision(this.#parts, this.#spec, this.#closing.signal)
    } catch (error) {
      return batch.failAll(error)
    }
    if (batch.lane >= this.#partitions) return batch.failAll(nobody(batch.lane))
    return this.#producer.publish(batch)
  }

  close(): Promise<void> {
    this.#closing.abort()
    return this.#producer.close()
  }
}

function nobody(partition: number): StreamError {
  return new StreamError(`no request is pending for the reply: the topic of replies has no partition ${partition}`, {
    code: 'NOT_FOUND',
    retryable: false,
    transport: 'kafka',
    operation: 'respond',
  })
}
