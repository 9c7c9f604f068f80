import { ConsumerLoop } from '../../src/consumer/consumer-loop.js'
import type { ConsumerLoopOptions } from '../../src/consumer/consumer-options.js'
import { Delivery } from '../../src/consumer/delivery.js'
import type { AdapterDefinition, ConsumerSpec, ProducerSpec, TopicSpec } from '../../src/contract/adapter.js'
import type {
  AttemptJournal,
  ConsumerDriver,
  ConsumerSink,
  PartitionAssignment,
  PartitionLag,
} from '../../src/contract/consumer-driver.js'
import type { ProducerDriver, ProducerReady, ProducerSink } from '../../src/contract/producer-driver.js'
import type { PublishBatch } from '../../src/contract/record.js'
import { toStreamError } from '../../src/errors.js'
import { option } from '../../src/options/fields.js'
import { Producer, type ProducerOptions } from '../../src/producer/producer.js'
import { OFFICIAL_ADAPTERS } from '../../src/registry/official-adapters.js'
import type { TopicSelection } from '../../src/topic-pattern.js'
import { Transport, type TransportOptions } from '../../src/transport/transport.js'

/** One publish call that waits for the test to decide. */
export interface Call {
  readonly batch: PublishBatch
  readonly driver: ScriptedProducerDriver
  finish(): void
}

class ScriptedProducerDriver implements ProducerDriver {
  readonly maxInFlightBatches: number
  readonly sink: ProducerSink
  readonly #script: Script
  closed = false

  constructor(script: Script, sink: ProducerSink) {
    this.#script = script
    this.sink = sink
    this.maxInFlightBatches = script.maxInFlightBatches
  }

  async open(): Promise<ProducerReady> {
    await this.#script.onOpen()
    return { partitions: 4, maxPayloadBytes: 1000 }
  }

  laneOf = (record: { readonly partition: number | undefined }): number => record.partition ?? 0

  publish(batch: PublishBatch): Promise<void> {
    return new Promise((finish) => this.#script.published({ batch, driver: this, finish }))
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

export class ScriptedConsumerDriver implements ConsumerDriver {
  readonly settlement: 'individual' | 'cumulative'
  readonly redelivery = 'core'
  readonly waitingFor = 'the other members'
  settleIntervalMs = 0
  readonly sink: ConsumerSink
  readonly spec: ConsumerSpec
  readonly journal: string[] = []
  readonly acked: string[] = []
  readonly released: string[] = []
  readonly committed: string[] = []
  failAcks: unknown
  beforeAck: () => Promise<void> = async () => {}
  beforeStop: () => Promise<void> | undefined = () => undefined
  acksBegun = 0
  readonly attempts: { -readonly [Name in keyof AttemptJournal]: AttemptJournal[Name] }
  /** There where the script has lags to tell. */
  readonly lag?: () => Promise<readonly PartitionLag[]>
  readonly undelivered: (() => Promise<ReadonlyMap<PartitionAssignment, number>>) | undefined
  readonly #script: Script

  constructor(script: Script, spec: ConsumerSpec, sink: ConsumerSink) {
    this.#script = script
    this.spec = spec
    this.sink = sink
    this.settlement = script.settlement
    const { lag } = script
    if (lag !== undefined) this.lag = lag
    this.undelivered = script.undelivered
    this.attempts = {
      starting: async (_assignment: PartitionAssignment, delivery: Delivery, attempt: number) =>
        void this.journal.push(`start ${delivery.id} ${attempt}`),
      failed: async (_assignment: PartitionAssignment, delivery: Delivery, attempt: number) =>
        void this.journal.push(`failed ${delivery.id} ${attempt}`),
    }
  }

  async open(): Promise<void> {
    await this.#script.onOpen()
    this.#script.consumers.push(this)
    await this.#script.whenOpening()
  }

  async ack(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.acksBegun += 1
    await this.beforeAck()
    if (this.failAcks !== undefined) throw this.failAcks
    this.acked.push(...deliveries.map((delivery) => delivery.id))
  }

  async commit(_assignment: PartitionAssignment, last: Delivery): Promise<void> {
    this.committed.push(last.id)
  }

  async release(_assignment: PartitionAssignment, deliveries: readonly Delivery[]): Promise<void> {
    this.released.push(...deliveries.map((delivery) => delivery.id))
  }

  async stop(): Promise<void> {
    await this.beforeStop()
  }

  async close(): Promise<void> {}
}

/** What the scripted adapter's drivers do, and what they were asked to do. */
export class Script {
  maxInFlightBatches = 1
  settlement: 'individual' | 'cumulative' = 'individual'
  /** What a consumer says its lag is. */
  lag: (() => Promise<readonly PartitionLag[]>) | undefined
  /** What a consumer says it could have delivered. */
  undelivered: (() => Promise<ReadonlyMap<PartitionAssignment, number>>) | undefined
  onOpen: () => Promise<void> = async () => {}
  /** Holds back a consumer's `open` after it has joined. */
  whenOpening: () => Promise<void> = async () => {}
  readonly consumers: ScriptedConsumerDriver[] = []
  readonly #calls: Call[] = []
  #waiting: ((call: Call) => void)[] = []

  /** The next publish call, in order. */
  nextCall(): Promise<Call> {
    const call = this.#calls.shift()
    if (call !== undefined) return Promise.resolve(call)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  get pendingCalls(): number {
    return this.#calls.length
  }

  published(call: Call): void {
    const waiter = this.#waiting.shift()
    if (waiter === undefined) this.#calls.push(call)
    else waiter(call)
  }

  get consumer(): ScriptedConsumerDriver {
    return this.consumers.at(-1) as ScriptedConsumerDriver
  }
}

/** An adapter whose broker is the test: for what core does with a driver's answers, which no broker gives on demand. */
export function scriptedAdapter(script: Script, changes: Partial<AdapterDefinition> = {}): AdapterDefinition {
  const official = OFFICIAL_ADAPTERS.find((one) => one.name === 'kafka') as (typeof OFFICIAL_ADAPTERS)[number]
  const adapter: AdapterDefinition = {
    name: 'scripted',
    schemes: ['scripted'],
    capabilities: official.capabilities,
    reconnects: 'core',
    defaultUrl: 'scripted://',
    environmentUrl: () => undefined,
    options: { size: option.integer({ default: 1, min: 1, max: 10 }), token: option.text({ secret: true }) },
    producerOptions: {},
    consumerOptions: {},
    optionsFromUrl: () => ({}),
    connect: () => ({
      native: script,
      admin: {
        provision: async (spec: TopicSpec) => ({ topic: spec.topic, partitions: 1 }),
        topics: async () => [],
        lag: async () => [],
        deleteTopic: async () => {},
      },
      producer: (_spec: ProducerSpec, sink: ProducerSink) => new ScriptedProducerDriver(script, sink),
      consumer: (spec: ConsumerSpec, sink: ConsumerSink) => new ScriptedConsumerDriver(script, spec, sink),
      close: async () => {},
    }),
    classifyError: (native, operation, topic) =>
      toStreamError(native, { code: 'UNAVAILABLE', transport: 'scripted', operation, topic }),
    classes: () => ({ Producer: ScriptedProducer, ConsumerLoop: ScriptedLoop }),
    ...changes,
  }
  class ScriptedProducer<T = unknown> extends Producer<T> {
    constructor(topic: string, options?: ProducerOptions<T>) {
      super(adapter, topic, options)
    }
  }
  class ScriptedLoop<T = unknown> extends ConsumerLoop<T> {
    constructor(topic: TopicSelection, options: ConsumerLoopOptions<T>) {
      super(adapter, topic, options)
    }
  }
  return adapter
}

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

export function scriptedTransport(
  script: Script,
  options: TransportOptions = {},
  changes: Partial<AdapterDefinition> = {},
): Transport {
  return new Transport(scriptedAdapter(script, changes), 'scripted://', { logger: SILENT, ...options })
}

/** Deliveries of one partition: `['a1', 'b1']` has the keys `a` and `b`; ids are the names. */
export function deliveriesOf(
  assignment: PartitionAssignment,
  names: readonly string[],
  extra: { suspect?: boolean; wasAtWork?: boolean; priorAttempts?: number } = {},
): Delivery[] {
  return names.map(
    (name, index) =>
      new Delivery(assignment, {
        id: name,
        key: name.startsWith('-') ? undefined : name[0],
        payload: Buffer.from(JSON.stringify(name)),
        headers: {},
        timestamp: 0,
        position: index,
        native: undefined,
        ...extra,
      }),
  )
}

/** Resolves once the condition holds; looks at every turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}
