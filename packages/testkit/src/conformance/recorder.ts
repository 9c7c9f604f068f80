import {
  type AdapterDefinition,
  ConsumerLoop,
  type ErrorCode,
  isStreamError,
  Producer,
  StreamError,
  Transport,
} from '@streamswitch/core'
import {
  type ConsumerDriver,
  type ConsumerSink,
  type ConsumerSpec,
  Delivery,
  type OutgoingRecord,
  type PartitionAssignment,
  type PartitionLag,
  type ProducerDriver,
  type PublishBatch,
  toStreamError,
} from '@streamswitch/core/driver'

/** A transport that keeps what is sent to it in a list, or refuses it: a dead-letter target in the hands of a test. */
export interface Recorder {
  readonly transport: Transport
  /** What was accepted, oldest first, with its topic. */
  readonly records: readonly RecordedMessage[]
  /** How many records were refused so far. */
  readonly refusals: number
  /** Refuses everything from now on, with this code. */
  refuse(code: ErrorCode): void
  /** Accepts everything from now on. */
  accept(): void
}

type RecordedMessage = Pick<OutgoingRecord, 'id' | 'key' | 'payload' | 'headers' | 'timestamp'> & {
  readonly topic: string
}

/** What reads of one topic have in common: members come and go, what they have settled stays so. */
interface Target {
  readonly records: RecordedMessage[]
  /** Records that a reading group is done with. */
  readonly settled: Set<RecordedMessage>
  refusals: number
  refusal: ErrorCode | undefined
  readonly changed: () => void
}

/** Makes a recorder that accepts. `changed` is called for each record that comes, accepted or not. */
export function openRecorder(changed: () => void = () => {}): Recorder {
  const target: Target = { records: [], settled: new Set(), refusals: 0, refusal: undefined, changed }
  const transport = new Transport(recorderAdapter(target), 'recorder://', {
    environment: {},
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  })
  return {
    transport,
    records: target.records,
    get refusals() {
      return target.refusals
    },
    refuse(code) {
      target.refusal = code
    },
    accept() {
      target.refusal = undefined
    },
  }
}

class RecorderDriver implements ProducerDriver {
  readonly maxInFlightBatches = 1
  readonly #target: Target
  readonly #topic: string

  constructor(target: Target, topic: string) {
    this.#target = target
    this.#topic = topic
  }

  async open(): Promise<{ partitions: number; maxPayloadBytes: number }> {
    return { partitions: 1, maxPayloadBytes: Number.MAX_SAFE_INTEGER }
  }

  publish(batch: PublishBatch): void {
    const { refusal } = this.#target
    if (refusal === undefined) {
      for (const { id, key, payload, headers, timestamp } of batch.records)
        this.#target.records.push({ topic: this.#topic, id, key, payload, headers, timestamp })
      batch.acceptAll(0)
    } else {
      this.#target.refusals += batch.records.length
      batch.failAll(
        new StreamError('the recorder was told to refuse', {
          code: refusal,
          transport: 'recorder',
          topic: this.#topic,
          operation: 'send',
        }),
      )
    }
    this.#target.changed()
  }

  async close(): Promise<void> {}
}

/** Reads what isn't settled, from the oldest on. For one reader at a time. */
class RecorderReader implements ConsumerDriver {
  readonly settlement = 'individual'
  readonly redelivery = 'core'
  readonly settleIntervalMs = 0
  readonly #target: Target
  readonly #topic: string
  readonly #sink: ConsumerSink

  constructor(target: Target, spec: ConsumerSpec, sink: ConsumerSink) {
    this.#target = target
    this.#topic = spec.topics[0]?.topic ?? ''
    this.#sink = sink
  }

  async open(): Promise<void> {
    const assignment = { topic: this.#topic, partition: 0, epoch: 1 }
    this.#sink.assigned([assignment])
    const deliveries = this.#target.records.flatMap((record, position) =>
      isUnsettled(this.#target, record, this.#topic)
        ? [new Delivery(assignment, { ...record, headers: record.headers ?? {}, position, native: record })]
        : [],
    )
    setImmediate(() => void this.#sink.deliver(assignment, deliveries))
  }

  async ack(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    for (const { native } of deliveries) this.#target.settled.add(native as RecordedMessage)
  }

  async lag(): Promise<readonly PartitionLag[]> {
    return lagOf(this.#target, this.#topic)
  }

  async stop(): Promise<void> {}

  async close(): Promise<void> {}
}

function isUnsettled(target: Target, record: RecordedMessage, topic: string): boolean {
  return record.topic === topic && !target.settled.has(record)
}

function lagOf(target: Target, topic: string): PartitionLag[] {
  return [{ topic, partition: 0, lag: target.records.filter((record) => isUnsettled(target, record, topic)).length }]
}

function recorderAdapter(target: Target): AdapterDefinition {
  const no = {
    groups: false,
    competingMembers: false,
    keyOrder: false,
    durable: false,
    replay: false,
    assignments: false,
    manualAck: false,
  } as const
  const adapter: AdapterDefinition = {
    name: 'recorder',
    schemes: ['recorder'],
    capabilities: {
      ...no,
      retainsWithoutGroup: true,
      deadLetters: true,
      attemptsSurviveRestart: false,
      publishDedupe: false,
      lag: true,
      requestReply: false,
      multiProcess: false,
    },
    reconnects: 'never',
    defaultUrl: 'recorder://',
    environmentUrl: () => undefined,
    options: {},
    producerOptions: {},
    consumerOptions: {},
    optionsFromUrl: () => ({}),
    connect: () => ({
      native: undefined,
      admin: {
        provision: async (spec) => ({ topic: spec.topic, partitions: 1 }),
        topics: async () => [],
        lag: async (spec) => lagOf(target, spec.topic),
        deleteTopic: async () => {},
      },
      producer: (spec) => new RecorderDriver(target, spec.topic.topic),
      consumer: (spec, sink) => new RecorderReader(target, spec, sink),
      close: async () => {},
    }),
    classifyError: (native, operation, topic) =>
      isStreamError(native)
        ? native
        : toStreamError(native, { code: 'UNKNOWN', transport: 'recorder', operation, topic }),
    classes: () => ({
      Producer: class RecorderProducer<T = unknown> extends Producer<T> {
        constructor(topic: string, options?: ConstructorParameters<typeof Producer<T>>[2]) {
          super(adapter, topic, options)
        }
      },
      ConsumerLoop: class RecorderConsumerLoop<T = unknown> extends ConsumerLoop<T> {
        constructor(topic: string | readonly string[], options: ConstructorParameters<typeof ConsumerLoop<T>>[2]) {
          super(adapter, topic, options)
        }
      },
    }),
  }
  return adapter
}
