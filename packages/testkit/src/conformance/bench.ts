import {
  type AdapterDefinition,
  type ConsumerLoop,
  type ConsumerSettings,
  deadLetterTopic,
  type Handler,
  type Logger,
  type Producer,
  type ProducerSettings,
  type TopicSelection,
  Transport,
  type TransportOptions,
} from '@streamswitch/core'
import { checkHistory, type HistoryVerdict } from '../ledger/check-history.js'
import { Watch } from './collect.js'
import { type Handling, Journal } from './handling.js'
import { Ledger } from './ledger.js'
import { Member } from './member.js'
import { uniqueName } from './names.js'
import type { ConformanceSettings, Harness, Topology } from './settings.js'

/** What a test needs, said before it starts. */
export interface BenchShape {
  /** Default 1. */
  readonly topics?: number
  /** Default 1. */
  readonly groups?: number
  /** Default 1. */
  readonly partitions?: number
  readonly purpose?: Topology['purpose']
  /** The topics' names share all but their ends, so that one pattern takes them: `topic-1f.0`, `topic-1f.1`, … */
  readonly family?: boolean
}

/** How a member joins. */
export interface MemberOptions {
  /** Default: does nothing, successfully. */
  readonly handler?: Handler
  /** Default: the first topic. */
  readonly topic?: TopicSelection
  /** Default: the first group. */
  readonly group?: string
  /** Default: one of its own, as a process of its own would have. */
  readonly transport?: Transport
  readonly settings?: Partial<Omit<ConsumerSettings, 'group'>>
  /** Sets the handler in place of `handler`, which the journal records; what this one does is the test's to note. */
  readonly attach?: (loop: ConsumerLoop) => void
  /** Called before the loop runs: for listeners that must miss nothing. */
  readonly listen?: (loop: ConsumerLoop) => void
}

/** How a test waits, if not as usual. */
export interface Patience {
  /** A loop that ends with an error is part of the test. Default false: it ends the wait. */
  readonly toleratesEnd?: boolean
  /** In milliseconds; default 15,000. */
  readonly timeoutMs?: number
}

type Retry = NonNullable<ConsumerSettings['retry']>

/** Retries that come quickly: what tests of failing handlers use. */
export function quickRetry(attempts = 5, settings: Retry = {}): Retry {
  return { minDelayMs: 1, maxDelayMs: 20, factor: 2, attempts, ...settings }
}

/** The table one test works at: names of its own, the transports, producers and members it opens, and the record of what they did. */
export class Bench {
  readonly topics: readonly string[]
  readonly groups: readonly string[]
  readonly partitions: number
  readonly watch = new Watch()
  readonly journal = new Journal(this.watch)
  readonly ledger = new Ledger()
  /** What the transports logged, level first. */
  readonly log: string[] = []
  readonly url: string
  readonly #adapter: AdapterDefinition
  readonly #options: TransportOptions
  readonly #harness: Harness | undefined
  readonly #harnessUrl: string
  readonly #producers: Producer[] = []
  readonly #transports: Transport[] = []
  /** Those at the suite's own address: where a server is absent or refuses, nothing was made and nothing can be deleted. */
  readonly #reachable: Transport[] = []
  readonly #members: Member[] = []
  #sending: Transport | undefined

  private constructor(
    adapter: AdapterDefinition,
    topology: Topology,
    partitions: number,
    url: string,
    options: TransportOptions,
    harness: { readonly own: Harness | undefined; readonly url: string },
  ) {
    this.#adapter = adapter
    this.#harness = harness.own
    this.#harnessUrl = harness.url
    this.topics = topology.topics
    this.groups = topology.groups
    this.partitions = partitions
    this.url = url
    this.#options = options
  }

  static async open(settings: ConformanceSettings, shape: BenchShape = {}): Promise<Bench> {
    const names = (purpose: string, count: number): string[] => Array.from({ length: count }, () => uniqueName(purpose))
    const topology: Topology = {
      topics:
        shape.family === true ? familyOf(uniqueName('topic'), shape.topics ?? 1) : names('topic', shape.topics ?? 1),
      groups: names('group', shape.groups ?? 1),
      purpose: shape.purpose ?? 'ordinary',
    }
    const { openOptions = {} } = settings
    const options = typeof openOptions === 'function' ? await openOptions(topology) : openOptions
    const url = await settings.url(topology)
    const harness = { own: settings.harness, url: (await settings.harness?.url(topology)) ?? url }
    return new Bench(settings.adapter, topology, shape.partitions ?? 1, url, options, harness)
  }

  /** The suite's options of transports. */
  get transportOptions(): Readonly<Record<string, unknown>> {
    return this.#options.options ?? {}
  }

  /** What goes before every name on the broker. */
  get prefix(): string {
    return String(this.transportOptions['prefix'] ?? '')
  }

  get topic(): string {
    return this.topics[0] ?? ''
  }

  get group(): string {
    return this.groups[0] ?? ''
  }

  /** A new transport, closed with the bench. `extra` wins over the suite's options. */
  transport(extra: TransportOptions = {}, url: string = this.url): Transport {
    const options = { ...this.#options.options, ...extra.options }
    const transport = new Transport(this.#adapter, url, {
      environment: {},
      logger: this.logger,
      ...this.#options,
      ...extra,
      options,
    })
    this.#transports.push(transport)
    if (url === this.url) this.#reachable.push(transport)
    return transport
  }

  /** A transport of the harness, which may do what the product under test need not: list and delete topics. Closed with the bench. */
  administration(extra: TransportOptions = {}): Transport {
    if (this.#harness === undefined) return this.transport(extra)
    return this.transport({ ...extra, options: { clientId: 'harness', ...extra.options } }, this.#harnessUrl)
  }

  /** A producer; all of a test share one transport unless told otherwise. */
  producer(settings: ProducerSettings & { readonly topic?: string; readonly transport?: Transport } = {}): Producer {
    const { topic = this.topic, transport, ...rest } = settings
    this.#sending ??= transport ?? this.transport()
    const producer = (transport ?? this.#sending).producer(topic, { partitions: this.partitions, ...rest })
    this.#producers.push(producer)
    return producer
  }

  /** A running member that has joined: what is sent from now on is received. */
  async member(options: MemberOptions = {}): Promise<Member> {
    const member = this.start(options)
    await member.loop.init()
    return member
  }

  /** Members that join at the same time. */
  async members(count: number, options: MemberOptions = {}): Promise<Member[]> {
    const members = Array.from({ length: count }, () => this.start(options))
    await Promise.all(members.map((member) => member.loop.init()))
    return members
  }

  /** A running member, perhaps not joined yet. */
  start(options: MemberOptions = {}): Member {
    const {
      handler = () => undefined,
      topic = this.topic,
      group = this.group,
      transport = this.transport(),
      settings = {},
      attach = (made: ConsumerLoop) => void made.handle(this.journal.record({ member: name, group }, handler)),
    } = options
    const name = `member-${this.#members.length + 1}`
    const loop = transport.consumer(topic, { partitions: this.partitions, retry: quickRetry(), ...settings, group })
    attach(loop)
    options.listen?.(loop)
    const member = new Member(name, loop, this.journal, this.watch)
    this.#members.push(member)
    return member
  }

  /** The members that were started, in order. */
  get running(): readonly Member[] {
    return this.#members
  }

  /** Waits for a condition; fails at once when a loop ends with an error, unless the condition is about that. */
  async until(condition: () => boolean, what: string, options: Patience = {}): Promise<void> {
    const guarded = (): boolean => {
      if (condition()) return true
      const broken =
        options.toleratesEnd === true ? undefined : this.#members.find((member) => member.failure !== undefined)
      if (broken !== undefined)
        throw new Error(`${broken.name} ended while the test waited for: ${what}`, { cause: broken.failure?.error })
      const { failure } = this.ledger
      if (failure !== undefined)
        throw new Error(`a send failed while the test waited for: ${what}`, { cause: failure.error })
      return false
    }
    await this.watch.until(guarded, what, () => this.#state(), options.timeoutMs)
  }

  /** Successful handlings of a group, in the order of their starts. */
  handled(group: string = this.group): readonly Handling[] {
    return this.journal.all.filter((one) => one.group === group && one.outcome === 'succeeded')
  }

  /** Waits until the group has handled this many messages, each counted once. */
  async handledCount(count: number, group: string = this.group, patience: Patience = {}): Promise<void> {
    const reached = (): boolean =>
      this.handled(group).length >= count && new Set(this.handled(group).map((one) => one.id)).size >= count
    await this.until(reached, `${count} messages handled by ${group}`, patience)
  }

  /** Waits until the group has handled these messages. */
  async handledAll(ids: readonly string[], group: string = this.group): Promise<void> {
    const missing = (): string[] => {
      const done = new Set(this.handled(group).map((one) => one.id))
      return ids.filter((id) => !done.has(id))
    }
    await this.until(() => missing().length === 0, `${ids.length} messages handled by ${group}`)
  }

  /** The checker's verdict on one group, over everything sent to the topic. */
  verdict(
    group: string = this.group,
    topic: string = this.topic,
    gone: ReadonlySet<string> = new Set(),
  ): HistoryVerdict {
    return checkHistory(
      this.ledger.sent(topic),
      this.journal.all.filter((one) => one.group === group && one.topic === topic),
      gone,
    )
  }

  /** Closes everything and deletes what it made on the broker. Rejects, where the harness looks at them, for connections that are not what they should be. */
  async close(): Promise<void> {
    // While they are open: some brokers show no others. Cleared away it is all the same.
    const checked = this.#harness?.checkConnections().then(
      () => undefined,
      (error: unknown) => ({ error }),
    )
    const wrong = await checked
    await this.#close()
    if (wrong !== undefined) throw wrong.error
  }

  async #close(): Promise<void> {
    for (const member of this.#members) void member.loop.close({ timeoutMs: 0 })
    await Promise.all(this.#members.map((member) => member.loop.close()))
    await Promise.all(this.#producers.map((producer) => producer.close({ timeoutMs: 0 })))
    const cleaner = this.#reachable.find((transport) => transport === this.#sending) ?? this.#reachable[0]
    if (cleaner !== undefined) await this.#deleteTopics(this.#harness === undefined ? cleaner : this.administration())
    await Promise.all(this.#transports.map((transport) => transport.close({ timeoutMs: 0 })))
  }

  async #deleteTopics(transport: Transport): Promise<void> {
    const deadLetters = this.topics.flatMap((topic) => this.groups.map((group) => deadLetterTopic(topic, group)))
    for (const topic of [...this.topics, ...deadLetters]) await transport.admin.deleteTopic(transport.topicSpec(topic))
  }

  /** Keeps what it is told in {@link log}. */
  get logger(): Logger {
    const keep = (level: string) => (message: string) => {
      this.log.push(`${level} ${message}`)
    }
    return { debug: () => {}, info: keep('info'), warn: keep('warn'), error: keep('error') }
  }

  #state(): string {
    const sent = this.ledger.sent()
    const confirmed = sent.filter((message) => message.confirmed === true).length
    const starts = this.journal.all
    const running = starts.filter((one) => one.outcome === 'running').length
    return `${sent.length} sent, ${confirmed} of them confirmed; ${starts.length} handler starts, ${starts.filter((one) => one.outcome === 'succeeded').length} succeeded, ${running} running`
  }
}

function familyOf(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}.${index}`)
}
