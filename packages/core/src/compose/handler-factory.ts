import type { Codec, CodecName } from '../codec.js'
import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { ConsumerSettings } from '../consumer/consumer-options.js'
import type { CapabilityName } from '../contract/capabilities.js'
import { type ErrorCode, isStreamError, StreamError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Handler, Listener } from '../message.js'
import { type CloseOptions, closeFields, requireNames, withOptions } from '../options/call-options.js'
import { isPlainObject, unknownOption } from '../options/fields.js'
import { describeType, nearestName, Problems } from '../options/problems.js'
import type { Producer, ProducerSettings } from '../producer/producer.js'
import { OFFICIAL_ADAPTERS } from '../registry/official-adapters.js'
import type { Schema } from '../schema.js'
import { requireCapabilities } from '../transport/requirements.js'
import type { Transport } from '../transport/transport.js'
import { type TransportChoice, TransportPool } from './transport-pool.js'

interface SideOptions {
  /** Default: from the environment. */
  readonly transport?: TransportChoice
  /** Capabilities that this side requires. */
  readonly requires?: readonly CapabilityName[]
}

/** Transport of a queue's consumer, and the options of its loop. */
export interface QueueConsumer<T = unknown> extends SideOptions, Partial<ConsumerSettings<T>> {}

/** Transport of a queue's producer, and the producer's options. */
export interface QueueProducer<T = unknown> extends SideOptions, ProducerSettings<T> {}

/**
 * One queue of a {@link HandlerFactory}. Options shared by both sides are set here: `nativeName`, `partitions`,
 * `codec`, `schema`.
 */
export interface Queue<T = unknown> {
  /** The topic. Default: the queue's name in the map. */
  readonly name?: string
  /** Transport to consume from. Default: this application doesn't consume the queue. */
  readonly consumerLoop?: TransportChoice | QueueConsumer<T>
  /** Transport to produce to. Default: this application doesn't produce to the queue. */
  readonly producer?: TransportChoice | QueueProducer<T>
  /** Name of an existing topic on the broker, without prefix. */
  readonly nativeName?: string
  readonly partitions?: number
  readonly codec?: CodecName | Codec<T>
  readonly schema?: Schema<T>
}

/** Options of a {@link HandlerFactory}. */
export interface HandlerFactoryOptions {
  /** Group of every loop whose queue doesn't set one. */
  readonly group?: string
  /**
   * Options of the transports that are opened, by transport name: `{ http: { port: 8080 }, kafka: { clientId: 'billing'
   * } }`.
   */
  readonly transports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** Environment variables to use instead of `process.env`. */
  readonly environment?: NodeJS.ProcessEnv
  /** Where to tell what happens. Default: warnings and errors to standard error. */
  readonly logger?: Logger
  /** Transport for dead letters of transports that can't store them. */
  readonly deadLetterTransport?: TransportChoice
}

/** The queues of an application by name, each with the type of its values. */
export type QueueMap<Values> = { readonly [Name in keyof Values]: Queue<Values[Name]> }

/**
 * Creates named producers and loops from a map of queues, over any mixture of transports: HTTP in, Kafka out. Queues
 * with the same address share one transport. Nothing is connected until something is sent or run.
 *
 * @typeParam Values - the type of each queue's values: `new HandlerFactory<{ orders: Order }>({ orders: { … } })`.
 */
export class HandlerFactory<Values extends object = Record<string, unknown>> implements AsyncDisposable {
  readonly #pool: TransportPool
  readonly #options: HandlerFactoryOptions
  readonly #queues: readonly string[]
  readonly #loops = new Map<string, ConsumerLoop>()
  readonly #producers = new Map<string, Producer>()
  #closing: Promise<void> | undefined

  /**
   * Throws, before any I/O, one error with every problem in the map: unknown transports and options, a loop without a
   * group, a capability that a transport lacks, two loops of one group on one topic. Its code is that of the problems
   * if they all have the same one, else INVALID_ARGUMENT.
   */
  constructor(queues: QueueMap<Values>, options: HandlerFactoryOptions = {}) {
    const known = ['group', 'transports', 'environment', 'logger', 'deadLetterTransport']
    requireNames(options, known, { subject: 'the HandlerFactory' })
    this.#options = options
    this.#pool = new TransportPool({
      environment: options.environment ?? process.env,
      logger: options.logger,
      deadLetterTransport: options.deadLetterTransport,
    })
    this.#queues = Object.keys(queues)
    const found = new Findings()
    for (const [name, queue] of Object.entries<Queue>(queues as Readonly<Record<string, Queue>>)) {
      this.#readQueue(name, queue, found)
    }
    this.#findTwins(found)
    const transports = [...OFFICIAL_ADAPTERS.map((official) => official.name as string), ...this.#transportNames()]
    for (const name of Object.keys(options.transports ?? {}))
      if (!transports.includes(name)) found.add(`transports.${name}`, 'is neither a known transport nor one used here')
    // Nothing was connected, but what was created is registered with transports that may be the user's.
    if (found.any) void this.close({ timeoutMs: 0 })
    found.throwIfAny()
  }

  /** The factory's loops, by queue. */
  get loops(): ReadonlyMap<string, ConsumerLoop> {
    return this.#loops
  }

  /** The factory's producers, by queue. */
  get producers(): ReadonlyMap<string, Producer> {
    return this.#producers
  }

  /**
   * Returns the loop of a queue, always the same one. Throws NOT_FOUND for a queue that isn't in the map or isn't
   * consumed.
   */
  consumerLoop<Name extends keyof Values & string>(queue: Name): ConsumerLoop<Values[Name]> {
    return (this.#loops.get(queue) ?? this.#missing(queue, 'consumerLoop')) as ConsumerLoop<Values[Name]>
  }

  /**
   * Returns the producer of a queue, always the same one. Throws NOT_FOUND for a queue that isn't in the map or isn't
   * produced to.
   */
  producer<Name extends keyof Values & string>(queue: Name): Producer<Values[Name]> {
    return (this.#producers.get(queue) ?? this.#missing(queue, 'producer')) as Producer<Values[Name]>
  }

  /**
   * Sets the handler of a queue's loop and returns the loop. Throws as `consumerLoop` and `ConsumerLoop.handle` do.
   */
  handle<Name extends keyof Values & string>(
    queue: Name,
    handler: Handler<Values[Name]> | Listener<Values[Name]>,
  ): ConsumerLoop<Values[Name]> {
    return this.consumerLoop(queue).handle(handler)
  }

  /**
   * Closes the loops, then the producers (so that a running handler can still send), then the transports that the
   * factory opened. Idempotent: later calls return the first call's promise. Rejects only with INVALID_ARGUMENT for bad
   * options; nothing is closed then.
   */
  close(options: CloseOptions = {}): Promise<void> {
    return withOptions(
      closeFields,
      options,
      { subject: 'close of the HandlerFactory', operation: 'close' },
      (checked) => {
        this.#closing ??= this.#close(checked)
        return this.#closing
      },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #close(options: CloseOptions): Promise<void> {
    await Promise.all([...this.#loops.values()].map((loop) => loop.close(options)))
    await Promise.all([...this.#producers.values()].map((producer) => producer.close(options)))
    await this.#pool.close(options)
  }

  #transportNames(): string[] {
    return [...this.#loops.values(), ...this.#producers.values()].map(({ transport }) => transport.name)
  }

  #readQueue(name: string, queue: Queue, found: Findings): void {
    const path = `queues.${name}`
    const problem = isPlainObject(queue) ? undefined : `must be an object, got ${describeType(queue)}`
    if (problem !== undefined) return found.add(path, problem)
    const { name: topic = name, consumerLoop, producer, ...common } = queue
    const known = ['name', 'nativeName', 'consumerLoop', 'producer', 'partitions', 'codec', 'schema']
    for (const option of Object.keys(queue).filter((one) => !known.includes(one)))
      found.add(`${path}.${option}`, unknownOption(option, known))
    if (consumerLoop === undefined && producer === undefined)
      found.add(path, 'has neither consumerLoop nor producer: set the transport of at least one')
    if (consumerLoop !== undefined) {
      found.attempt(`${path}.consumerLoop`, () => {
        const { transport, options } = this.#readSide(consumerLoop)
        const { group = this.#options.group, ...rest } = options as QueueConsumer
        if (group === undefined)
          throw invalid("has no group: set one here, or on the factory ({ group: 'billing' }) for all its loops")
        this.#loops.set(name, transport.consumer(topic, { ...common, ...rest, group } as ConsumerSettings))
      })
    }
    if (producer !== undefined) {
      found.attempt(`${path}.producer`, () => {
        const { transport, options } = this.#readSide(producer)
        this.#producers.set(name, transport.producer(topic, { ...common, ...options } as ProducerSettings))
      })
    }
  }

  #readSide(side: TransportChoice | QueueConsumer | QueueProducer): { transport: Transport; options: object } {
    const {
      transport: choice,
      requires = [],
      ...options
    } = isPlainObject(side) ? (side as QueueConsumer) : { transport: side as TransportChoice }
    const transport = this.#pool.get(choice, (adapter) => this.#options.transports?.[adapter])
    requireCapabilities(transport.adapter, requires, 'configure')
    return { transport, options }
  }

  /** Finds loops of the same group on the same topic of one transport: they would take each other's messages. */
  #findTwins(found: Findings): void {
    const seen = new Map<string, { readonly name: string; readonly transport: Transport }[]>()
    for (const [name, { group, topics, transport, names }] of this.#loops) {
      const place = JSON.stringify([...names.topics.map(({ brokerTopic }) => brokerTopic), names.group.brokerGroup])
      const others = seen.get(place) ?? []
      const twin = others.find((other) => other.transport === transport)
      if (twin !== undefined)
        found.add(
          `queues.${name}.consumerLoop`,
          `consumes '${topics.join(',')}' on ${transport.name} as group '${group}', and so does queue '${twin.name}'`,
        )
      seen.set(place, [...others, { name, transport }])
    }
  }

  #missing(queue: string, side: 'consumerLoop' | 'producer'): never {
    const near = nearestName(queue, this.#queues)
    const message = this.#queues.includes(queue)
      ? `queue '${queue}' has no ${side}: add one to it in the map`
      : `there is no queue '${queue}'; ${near === undefined ? `known queues are ${this.#queues.join(', ')}` : `did you mean '${near}'?`}`
    throw new StreamError(message, { code: 'NOT_FOUND', operation: 'configure' })
  }
}

/** Collects the problems of a map of queues. */
class Findings {
  readonly #problems = new Problems()
  readonly #codes = new Set<ErrorCode>()

  get any(): boolean {
    return this.#problems.any
  }

  add(path: string, problem: string, code: ErrorCode = 'INVALID_ARGUMENT'): void {
    this.#problems.add(path, problem)
    this.#codes.add(code)
  }

  /** Runs the action and records what it throws. */
  attempt(path: string, action: () => void): void {
    try {
      action()
    } catch (error) {
      if (!isStreamError(error)) throw error
      this.add(path, error.message, error.code)
    }
  }

  throwIfAny(): void {
    const [code, ...others] = this.#codes
    const common = code === undefined || others.length > 0 ? {} : { code }
    this.#problems.throwIfAny('the queues of the HandlerFactory', { ...common, operation: 'configure' })
  }
}

function invalid(message: string): StreamError {
  return new StreamError(message, { code: 'INVALID_ARGUMENT', operation: 'configure' })
}
