import { Pipe, type SimulatedProcess, type World } from '@streamswitch/testkit/simulation'
import { MetadataRequest } from 'rabbitmq-stream-js-client/dist/requests/metadata_request.js'
import { QueryOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/query_offset_request.js'
import type { StoreOffsetRequest } from 'rabbitmq-stream-js-client/dist/requests/store_offset_request.js'
import { StreamStatsRequest } from 'rabbitmq-stream-js-client/dist/requests/stream_stats_request.js'
import { ResponseCode } from '../../src/client-patches/server-error.js'
import type { SubscribeSettings, SubscriptionEvents } from '../../src/client-patches/stream-client.js'
import { type GroupConsumer, type Notice, ScriptedCoordinator } from './scripted-coordinator.js'
import { type ChunkReader, ScriptedStream } from './scripted-stream.js'
import type { Sources } from './sources.js'

const REQUEST_TIMEOUT_MS = 10_000

interface Subscription {
  readonly id: number
  readonly stream: ScriptedStream
  readonly events: SubscriptionEvents
  readonly fromOffset: boolean
  /** Of a subscription that reads. */
  readonly reader: ChunkReader | undefined
  /** Of a candidacy. */
  readonly consumer: ScriptedConsumer | undefined
}

/** A candidate, on the broker's side. */
export interface ScriptedConsumer extends GroupConsumer {
  readonly connection: ScriptedConnection
  readonly subscriptionId: number
  /** The broker has told it that it is active, and hasn't heard since that it is not. */
  told: boolean
  /** When the client has heard that it is active. */
  heardAt: number | undefined
}

/** What happens at the broker, for whoever judges it. */
export interface BrokerEvents {
  /** A process stores an offset: whether it may, as far as it knows. */
  mayStore(process: SimulatedProcess, stream: string): boolean
  stored(process: SimulatedProcess, record: StoredRecord): void
  /** A candidate is being told that it is active. */
  activated(consumer: ScriptedConsumer): void
  /** A candidate that is active has ended its own subscription. */
  unsubscribed(consumer: ScriptedConsumer): void
}

/** An offset that has been stored. */
interface StoredRecord {
  readonly stream: string
  readonly reference: string
  readonly value: bigint
  readonly before: bigint | undefined
  /** What `mayStore` said when it was sent. */
  readonly sentRightly: boolean
}

type Reply = { readonly value: unknown } | { readonly error: Error }

/** RabbitMQ's stream protocol, as far as the members of a group speak it. */
export class ScriptedBroker {
  readonly world: World
  readonly events: BrokerEvents
  readonly streams = new Map<string, ScriptedStream>()
  readonly connections = new Set<ScriptedConnection>()
  readonly #errors: Pick<Sources, 'ServerError' | 'ConnectionGone'>
  readonly #coordinator = new ScriptedCoordinator<ScriptedConsumer>()
  readonly #partitionIndex = new Map<string, number>()
  #coordinatedAt = 0
  #downUntil = 0

  /** @param errors - the classes that the simulated sources know. */
  constructor(world: World, errors: Pick<Sources, 'ServerError' | 'ConnectionGone'>, events: BrokerEvents) {
    this.world = world
    this.#errors = errors
    this.events = events
  }

  gone(text: string): Error {
    return new this.#errors.ConnectionGone(text)
  }

  refusal(code: number): Reply {
    return { error: new this.#errors.ServerError(code, 'scripted') }
  }

  get down(): boolean {
    return this.world.now < this.#downUntil
  }

  /** @param partitionIndex - of a super stream's partition; -1 for a plain stream. */
  create(name: string, partitionIndex: number): ScriptedStream {
    const stream = new ScriptedStream(name)
    this.streams.set(name, stream)
    this.#partitionIndex.set(name, partitionIndex)
    return stream
  }

  /** Everything but what is stored is gone. */
  restart(downMs: number): void {
    this.#downUntil = this.world.now + downMs
    for (const connection of [...this.connections]) connection.cut(0, this.world.random.next() * 50)
  }

  /** Commands of the coordinator are applied one after the other, and take their time. */
  coordinate(
    command: (coordinator: ScriptedCoordinator<ScriptedConsumer>) => Notice<ScriptedConsumer>[],
    done: () => void,
  ): void {
    const { clock, random, broker } = this.world
    const delay = random.chance(5) ? random.next() * 500 : random.next() * 3
    this.#coordinatedAt = Math.max(this.#coordinatedAt, clock.now + delay)
    clock.schedule(this.#coordinatedAt - clock.now, broker, () => {
      const notices = command(this.#coordinator)
      done()
      for (const { consumer, active } of notices) consumer.connection.tell(consumer, active)
    })
  }

  partitionIndexOf(stream: string): number {
    return this.#partitionIndex.get(stream) ?? -1
  }
}

/** One connection, both of its ends. */
export class ScriptedConnection {
  readonly process: SimulatedProcess
  readonly #broker: ScriptedBroker
  readonly #toBroker: Pipe
  readonly #toClient: Pipe
  readonly #closed: (error: Error) => void
  // The client's end.
  readonly #pending = new Map<number, (reply: Reply) => void>()
  #correlationId = 0
  #failure: Error | undefined
  // The broker's end.
  readonly #subscriptions = new Map<number, Subscription>()
  readonly #updates = new Map<number, { readonly consumer: ScriptedConsumer; readonly active: boolean }>()
  readonly #frames: (() => void)[] = []
  #busy = false
  #open = true
  #isCut = false
  #updateId = 0
  /** Streams whose active consumer it was when the broker lost the connection. */
  readonly lostStreams = new Set<string>()

  constructor(broker: ScriptedBroker, process: SimulatedProcess, closed: (error: Error) => void) {
    const { world } = broker
    this.process = process
    this.#broker = broker
    this.#closed = closed
    this.#toBroker = new Pipe(world, world.broker, () => world.latency(process))
    this.#toClient = new Pipe(world, process, () => world.latency(process))
    broker.connections.add(this)
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** Frames still travel. */
  get usable(): boolean {
    return this.#failure === undefined && this.#open && !this.#isCut
  }

  // ---- The client's end

  async send(request: StoreOffsetRequest): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const { stream, reference, offsetValue } = request as unknown as StoredOffset
    const sentRightly = this.#broker.events.mayStore(this.process, stream)
    this.#toBroker.request(() => this.#receive(() => this.#store(stream, reference, offsetValue, sentRightly)))
  }

  sendAndWait(request: object): Promise<unknown> {
    return this.#ask((reply) => reply(this.#answerTo(request)))
  }

  #ask(handle: (reply: (reply: Reply) => void) => void): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#correlationId += 1
    const id = this.#correlationId
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.fail(this.#broker.gone('no answer')), REQUEST_TIMEOUT_MS)
      this.#pending.set(id, (reply) => {
        clearTimeout(timer)
        this.#pending.delete(id)
        if ('error' in reply) reject(reply.error)
        else resolve(reply.value)
      })
      this.#toBroker.request(() =>
        this.#receive(() => handle((reply) => this.#toClient.answer(() => this.#pending.get(id)?.(reply)))),
      )
    })
  }

  subscribe(id: number, settings: SubscribeSettings, events: SubscriptionEvents): Promise<unknown> {
    return this.#ask((reply) => this.#subscribe(id, settings, events, reply))
  }

  unsubscribe(id: number): Promise<unknown> {
    const heard = this.#subscriptions.get(id)?.consumer?.heardAt !== undefined
    return this.#ask((reply) => this.#unsubscribe(id, heard, reply))
  }

  credit(id: number, credit: number): void {
    if (this.#failure !== undefined) return
    this.#toBroker.send(() =>
      this.#receive(() => {
        const { reader, stream } = this.#subscriptions.get(id) ?? {}
        if (reader === undefined) return
        reader.credit += credit
        if (reader.credit > reader.usedAbove) stream?.feed(reader)
      }),
    )
  }

  answerUpdate(correlationId: number): void {
    if (this.#failure !== undefined) return
    this.#toBroker.send(() => this.#receive(() => this.#updateAnswered(correlationId)))
  }

  /** The client gives the connection up, or learns that it is gone. */
  fail(error: Error): void {
    if (this.#failure === undefined) this.#closed(this.#end(error))
  }

  #end(error: Error): Error {
    this.#failure = error
    for (const settle of [...this.#pending.values()]) settle({ error })
    return error
  }

  /** Says goodbye. */
  async close(): Promise<void> {
    if (this.#failure !== undefined) return
    await Promise.race([
      this.#ask((reply) => this.#goodbye(reply)),
      new Promise<void>((resolve) => setTimeout(resolve, 1_000)),
    ]).catch(() => {})
    if (this.#failure === undefined) this.#end(this.#broker.gone('closed'))
    this.cut(5, 0)
  }

  // ---- The network

  /** Nothing travels any more; each end learns of it after so many milliseconds. */
  cut(brokerAfterMs: number, clientAfterMs: number): void {
    const { clock, broker } = this.#broker.world
    this.#isCut = true
    if (this.#failure === undefined && this.#open) this.#broker.world.count('cut connection')
    this.#toBroker.cut()
    this.#toClient.cut()
    clock.schedule(brokerAfterMs, broker, () => this.brokerCloses())
    clock.schedule(clientAfterMs, this.process, () => this.fail(this.#broker.gone('cut')))
  }

  // ---- The broker's end

  /** The broker finds the connection closed. */
  brokerCloses(): void {
    if (!this.#open) return
    this.#open = false
    this.#broker.connections.delete(this)
    for (const { consumer, reader, stream } of this.#subscriptions.values()) {
      if (reader !== undefined) stream.detach(reader)
      if (consumer === undefined) continue
      if (consumer.told) this.lostStreams.add(consumer.stream)
      const owes = this.#owes(consumer)
      this.#broker.coordinate(
        (coordinator) => {
          consumer.told = false
          return leaving(coordinator, consumer, owes)
        },
        () => {},
      )
    }
  }

  /** How many subscriptions read the stream from an offset on, as those of owners do: others look at its end only, for a moment. */
  readersOf(stream: string): number {
    return [...this.#subscriptions.values()].filter((one) => one.fromOffset && one.stream.name === stream).length
  }

  /** A consumer of this process is the active one of a stream, by what the broker has told and heard. */
  isActiveOn(stream: string): boolean {
    for (const { consumer } of this.#subscriptions.values())
      if (consumer?.stream === stream && consumer.told) return true
    return false
  }

  tell(consumer: ScriptedConsumer, active: boolean): void {
    const known = this.#subscriptions.get(consumer.subscriptionId)?.consumer === consumer
    if (!known) {
      // Ended meanwhile: the broker answers for it.
      if (!active && this.#open) this.#steppedDown(consumer)
      return
    }
    if (!this.#open) return
    if (active) {
      consumer.told = true
      this.#broker.events.activated(consumer)
    }
    this.#updateId += 1
    const correlationId = this.#updateId
    this.#updates.set(correlationId, { consumer, active })
    const { id, events } = this.#subscriptions.get(consumer.subscriptionId) as Subscription
    const update = { correlationId, subscriptionId: id, active }
    const { world } = this.#broker
    this.#toClient.send(() => {
      consumer.heardAt = active ? world.now : undefined
      events.update?.(this as never, update)
    })
  }

  /** Frames are handled one after the other; one that asks the coordinator keeps the next waiting. */
  #receive(handle: () => void): void {
    if (this.#busy) this.#frames.push(handle)
    else handle()
  }

  #coordinate(
    command: (coordinator: ScriptedCoordinator<ScriptedConsumer>) => Notice<ScriptedConsumer>[],
    done: () => void,
  ): void {
    this.#busy = true
    this.#broker.coordinate(command, () => {
      done()
      this.#busy = false
      while (!this.#busy && this.#frames.length > 0) this.#frames.shift()?.()
    })
  }

  #answerTo(request: object): Reply {
    const { streams } = this.#broker
    if (request instanceof MetadataRequest) return { value: {} }
    if (request instanceof StreamStatsRequest) {
      const stream = streams.get((request as unknown as { readonly streamName: string }).streamName)
      if (stream === undefined) return this.#broker.refusal(ResponseCode.streamDoesNotExist)
      const lastChunk = BigInt(stream.lastChunk)
      const firstChunk = lastChunk < 0n ? -1n : 0n
      return { value: { statistics: { firstChunkId: firstChunk, committedChunkId: lastChunk } } }
    }
    if (request instanceof QueryOffsetRequest) {
      const { stream, reference } = request as unknown as StoredOffset
      if (!streams.has(stream)) return this.#broker.refusal(ResponseCode.streamDoesNotExist)
      const offsetValue = streams.get(stream)?.stored(reference)
      return offsetValue === undefined ? this.#broker.refusal(ResponseCode.noOffset) : { value: { offsetValue } }
    }
    throw new Error(`no script for ${request.constructor.name}`)
  }

  #store(stream: string, reference: string, value: bigint, sentRightly: boolean): void {
    const log = this.#broker.streams.get(stream)
    const before = log?.stored(reference)
    log?.store(reference, value)
    this.#broker.events.stored(this.process, { stream, reference, value, before, sentRightly })
  }

  #subscribe(id: number, settings: SubscribeSettings, events: SubscriptionEvents, reply: (reply: Reply) => void): void {
    const stream = this.#broker.streams.get(settings.stream)
    if (stream === undefined) return reply(this.#broker.refusal(ResponseCode.streamDoesNotExist))
    if (settings.singleActive !== true) {
      const reader: ChunkReader = {
        next: stream.offsetOf(settings.offset),
        credit: settings.credit,
        usedAbove: Math.floor(settings.credit / 2),
        send: (chunk) => this.#toClient.send(() => events.chunk?.(chunk)),
      }
      const fromOffset = settings.offset.type === 'numeric'
      this.#subscriptions.set(id, { id, stream, events, fromOffset, reader, consumer: undefined })
      reply({ value: {} })
      return stream.attach(reader)
    }
    const { consumerRef: group = '', superStream } = settings
    const consumer: ScriptedConsumer = {
      stream: stream.name,
      group,
      active: false,
      connection: this,
      subscriptionId: id,
      told: false,
      heardAt: undefined,
    }
    const index = superStream === undefined ? -1 : this.#broker.partitionIndexOf(stream.name)
    this.#subscriptions.set(id, { id, stream, events, fromOffset: false, reader: undefined, consumer })
    this.#coordinate(
      (coordinator) => (this.#open ? coordinator.register(consumer, index) : []),
      () => reply({ value: {} }),
    )
  }

  /** @param heard - it knew that it was active when it asked. */
  #unsubscribe(id: number, heard: boolean, reply: (reply: Reply) => void): void {
    const { reader, stream, consumer } = this.#subscriptions.get(id) ?? {}
    if (stream === undefined) return reply(this.#broker.refusal(ResponseCode.subscriptionIdDoesNotExist))
    this.#subscriptions.delete(id)
    if (reader !== undefined) stream.detach(reader)
    if (consumer === undefined) return reply({ value: {} })
    if (consumer.told && heard) this.#broker.events.unsubscribed(consumer)
    consumer.told = false
    this.#leave(consumer, () => reply({ value: {} }))
  }

  /** Ends a candidacy by request. */
  #leave(consumer: ScriptedConsumer, done: () => void): void {
    const owes = this.#owes(consumer)
    this.#coordinate((coordinator) => leaving(coordinator, consumer, owes), done)
  }

  /** It was told to step down, and hasn't answered. It is asked no more. */
  #owes(consumer: ScriptedConsumer): boolean {
    const updates = [...this.#updates].filter(([, update]) => update.consumer === consumer)
    for (const [correlationId] of updates) this.#updates.delete(correlationId)
    return updates.some(([, { active }]) => !active)
  }

  #goodbye(reply: (reply: Reply) => void): void {
    const candidacies = [...this.#subscriptions.values()]
      .map(({ consumer }) => consumer)
      .filter((one) => one !== undefined)
    for (const { id, reader, stream } of [...this.#subscriptions.values()]) {
      this.#subscriptions.delete(id)
      if (reader !== undefined) stream.detach(reader)
    }
    for (const consumer of candidacies) {
      consumer.told = false
      this.#leave(consumer, () => {})
    }
    reply({ value: {} })
  }

  #updateAnswered(correlationId: number): void {
    const update = this.#updates.get(correlationId)
    this.#updates.delete(correlationId)
    if (update === undefined || update.active) return
    update.consumer.told = false
    this.#steppedDown(update.consumer)
  }

  #steppedDown({ stream, group }: ScriptedConsumer): void {
    this.#coordinate(
      (coordinator) => coordinator.steppedDown(stream, group),
      () => {},
    )
  }
}

interface StoredOffset {
  readonly stream: string
  readonly reference: string
  readonly offsetValue: bigint
}

/** A candidate is gone. One that was told to step down and hasn't answered counts as having answered. */
function leaving(
  coordinator: ScriptedCoordinator<ScriptedConsumer>,
  consumer: ScriptedConsumer,
  owes: boolean,
): Notice<ScriptedConsumer>[] {
  const notices = coordinator.unregister(consumer)
  return owes ? [...notices, ...coordinator.steppedDown(consumer.stream, consumer.group)] : notices
}
