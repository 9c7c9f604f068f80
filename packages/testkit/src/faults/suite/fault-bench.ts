import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isStreamError, type Logger, type Producer, Transport } from '@streamswitch/core'
import { uniqueName } from '../../conformance/names.js'
import { LedgerReader, LedgerWriter, ledgerTime, recordSend } from '../../ledger/index.js'
import { startWorker, type Worker } from '../worker.js'
import type { ConsumerRole, ProducerRole, WorkerSpec } from '../worker-spec.js'
import { Feed, type FeedShape } from './feed.js'
import type { BrokerMeans, FaultServer, FaultSettings, FaultStand, MeansTarget } from './settings.js'

/** Load and limits of the suite; the bounds on duplicates are made of them. */
export const PREFETCH = 50
export const CONCURRENCY = 8
export const HANDLER_MS = 2
/** A network takes time, each way: when a fault comes, something is on its way. Until then; in milliseconds. */
export const LATENCY_MS = 10
const SEND_TIMEOUT_MS = 60_000
const POLL_MS = 5
const LAG_POLL_MS = 50
const OVERFLOW_BYTES = 100_000

/** The table that one fault is tried at: names of its own, a ledger, the processes that write it. */
export class FaultBench {
  readonly settings: FaultSettings
  readonly stand: FaultStand
  readonly topic = uniqueName('topic')
  readonly group = uniqueName('group')
  readonly reader: LedgerReader
  readonly partitions: number
  /** What the transports of this process logged. */
  readonly log: string[] = []
  readonly #writer: LedgerWriter
  readonly #transports: Transport[] = []
  readonly #workers: Worker[] = []
  readonly #feeds: Feed[] = []
  #probes = 0

  constructor(settings: FaultSettings, stand: FaultStand) {
    this.settings = settings
    this.stand = stand
    this.partitions = settings.partitions ?? 4
    this.reader = new LedgerReader(mkdtempSync(join(tmpdir(), 'streamswitch-faults-')))
    this.#writer = new LedgerWriter(this.reader.folder, 'feed')
  }

  /** There is a broker between senders and receivers. */
  get brokered(): boolean {
    return this.stand.broker !== undefined
  }

  /** How many members a group has: one where the receiving process takes the broker's place. */
  get memberCount(): number {
    return this.brokered ? 2 : 1
  }

  /** What is killed in the broker's place: the broker, else the receiver. */
  server(): FaultServer {
    const { broker } = this.stand
    if (broker !== undefined) return broker
    const receiver = this.#workers.find(({ spec }) => spec.role.kind === 'consumer')
    if (receiver === undefined) throw new Error('there is neither a broker nor a receiver')
    return {
      kill: () => receiver.kill(),
      start: async () => {
        await receiver.start()
        await receiver.ready()
      },
    }
  }

  /** What the broker's own tools can do. Cases that need them are declared where they are there. */
  get means(): BrokerMeans {
    if (this.settings.means === undefined) throw new Error('there are no means')
    return this.settings.means
  }

  get target(): MeansTarget {
    return { topic: this.topic, group: this.group, partitions: this.partitions }
  }

  /** A transport of this process, through the proxy; closed with the bench. */
  transport(): Transport {
    const transport = new Transport(this.settings.adapter, this.stand.url, {
      environment: {},
      logger: this.#logger(),
      options: this.settings.options ?? {},
    })
    this.#transports.push(transport)
    return transport
  }

  /** What the broker says the group has left, over all partitions; `undefined` while it knows of no such group or topic. */
  async lag(transport: Transport): Promise<number | undefined> {
    try {
      const lags = await transport.admin.lag(transport.topicSpec(this.topic), transport.brokerGroup(this.group))
      return lags.reduce((sum, { lag }) => sum + lag, 0)
    } catch (error) {
      if (isStreamError(error) && (error.code === 'NOT_FOUND' || error.retryable)) return undefined
      throw error
    }
  }

  /** Polls the lag until it is as expected; rejects after `timeoutMs` and says what it is instead. Resolves with it. */
  async lagUntil(
    transport: Transport,
    expected: (lag: number | undefined) => boolean,
    what: string,
    timeoutMs: number,
  ): Promise<number | undefined> {
    const deadline = performance.now() + timeoutMs
    for (;;) {
      const lag = await this.lag(transport)
      if (expected(lag)) return lag
      if (performance.now() > deadline) throw new Error(`waited ${timeoutMs} ms for: ${what}; the lag is ${lag}`)
      await new Promise((resolve) => setTimeout(resolve, LAG_POLL_MS))
    }
  }

  /** Lines of warnings and errors that processes have written so far. */
  get reports(): number {
    return this.#workers.reduce((sum, { logFile }) => sum + readFileSync(logFile, 'utf8').split('\n').length - 1, 0)
  }

  /** Everything that the feed may send now is sent, confirmed, handled and acked. */
  async atRest(feed: Feed, transport: Transport, timeoutMs: number): Promise<void> {
    await this.until(() => feed.resting, 'all that may be sent to have its outcome', timeoutMs)
    await this.complete(timeoutMs)
    await this.lagUntil(transport, (lag) => lag === 0, 'no lag once everything is handled', timeoutMs)
  }

  /** Producers of this process, connected. */
  async feed(shape: FeedShape, settings: Readonly<Record<string, unknown>> = {}, payloadBytes?: number): Promise<Feed> {
    const transport = this.transport()
    const producers = Array.from({ length: shape.producers }, () =>
      transport.producer(this.topic, { ...this.producerSettings(), ...settings }),
    )
    await Promise.all(producers.map((producer) => producer.init()))
    const feed = new Feed(producers, shape, this.#writer, payloadBytes)
    this.#feeds.push(feed)
    return feed
  }

  /** A producer for single sends that may fail. */
  async prober(settings: object = {}): Promise<Producer> {
    const producer = this.transport().producer(this.topic, { ...this.producerSettings(), ...settings })
    await producer.init()
    return producer
  }

  /** Sends one message. Resolves with the code of the error, `undefined` where it was confirmed. */
  async probe(producer: Producer, timeoutMs: number, partition?: number): Promise<string | undefined> {
    this.#probes += 1
    const id = `probe/${this.#probes}`
    const options = { id, key: id, timeoutMs, ...(partition === undefined ? {} : { partition }) }
    if (await recordSend(this.#writer, producer, 'probe', options)) return undefined
    return this.reader.refresh().refusals.get(id)
  }

  /** Sends about so many bytes more, evenly over the partitions. */
  async overflow(bytes: number): Promise<void> {
    const producer = await this.prober(
      this.settings.trimRetention === undefined ? {} : { retention: this.settings.trimRetention },
    )
    const payload = 'x'.repeat(OVERFLOW_BYTES)
    const sends = Array.from({ length: Math.ceil(bytes / OVERFLOW_BYTES) }, (_, index) =>
      recordSend(this.#writer, producer, payload, {
        id: `overflow/${index}`,
        key: `overflow/${index}`,
        partition: index % this.partitions,
      }),
    )
    await Promise.all(sends)
  }

  /** Whether a worker has written such a line. */
  logged(logFile: string, pattern: RegExp): boolean {
    return pattern.test(readFileSync(logFile, 'utf8'))
  }

  /** Ids of the messages that are confirmed by now. */
  confirmedIds(): string[] {
    return this.reader.refresh().sends.flatMap(({ id, confirmed }) => (confirmed === true ? [id] : []))
  }

  /** Consumers `c1`, `c2`, …, each a process of its own, joined. */
  async consumers(role: Partial<ConsumerRole> = {}): Promise<Worker[]> {
    const names = Array.from({ length: this.memberCount }, (_, index) => `c${index + 1}`)
    return Promise.all(names.map((name) => this.consumer(name, role)))
  }

  consumer(name: string, { settings, ...role }: Partial<ConsumerRole> = {}): Promise<Worker> {
    return this.#worker(name, this.stand.receiverUrl ?? this.stand.url, {
      kind: 'consumer',
      group: this.group,
      handlerMs: HANDLER_MS,
      ...role,
      settings: {
        partitions: this.partitions,
        prefetch: PREFETCH,
        concurrency: CONCURRENCY,
        connectTimeoutMs: 20_000,
        ...this.settings.consumer,
        ...settings,
      },
    })
  }

  producer(name: string, role: Omit<ProducerRole, 'kind'>, settings: object = {}): Promise<Worker> {
    return this.#worker(name, this.stand.url, {
      kind: 'producer',
      ...role,
      settings: { ...this.producerSettings(), ...settings },
    })
  }

  producerSettings(): Readonly<Record<string, unknown>> {
    return {
      partitions: this.partitions,
      // Small batches: sends are then under way at any moment that a fault may come.
      maxBatchRecords: 20,
      sendTimeoutMs: SEND_TIMEOUT_MS,
      connectTimeoutMs: 20_000,
      ...this.settings.producer,
    }
  }

  /** Resolves with the time that it took, in milliseconds, once the condition holds; rejects after `timeoutMs` and says what is there instead. */
  async until(condition: () => boolean, what: string, timeoutMs: number): Promise<number> {
    const started = ledgerTime()
    while (!condition()) {
      if (ledgerTime() - started > timeoutMs * 1_000)
        throw new Error(`waited ${timeoutMs} ms for: ${what}; instead: ${this.#state()}`)
      const dead = this.#workers.find((worker) => worker.failed)
      if (dead !== undefined)
        throw new Error(`worker ${dead.name} ended with an error; see its log:\n${dead.lastWords}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    return (ledgerTime() - started) / 1_000
  }

  /** Waits until every one of these messages is confirmed and handled. */
  handledAll(ids: readonly string[], what: string, timeoutMs: number): Promise<number> {
    const wanted = new Set(ids)
    return this.until(
      () => {
        for (const id of wanted) if (this.reader.isDone(id)) wanted.delete(id)
        if (wanted.size > 0) this.reader.refresh()
        return wanted.size === 0
      },
      what,
      timeoutMs,
    )
  }

  /** Waits until everything confirmed is handled. Resolves with the time that it took, in milliseconds. */
  complete(timeoutMs: number): Promise<number> {
    return this.until(() => this.reader.refresh().complete, 'everything that was confirmed to be handled', timeoutMs)
  }

  /** Ids of the messages that handlers of a worker are at work at. */
  runningAt(worker: Worker): string[] {
    return this.reader
      .refresh()
      .handlings.filter(({ process, outcome }) => process === worker.name && outcome === 'running')
      .map(({ id }) => id)
  }

  /** Ends everything. The ledger and the logs of the processes go with it, unless somebody will want to read them. */
  async close(keepLedger: boolean): Promise<void> {
    this.stand.proxy.heal()
    for (const feed of this.#feeds) feed.stop()
    await Promise.all(this.#workers.map((worker) => worker.kill()))
    await Promise.all(this.#transports.map((transport) => transport.close({ timeoutMs: 0 })))
    this.#writer.close()
    if (!keepLedger) rmSync(this.reader.folder, { recursive: true, force: true })
  }

  async #worker(name: string, url: string, role: WorkerSpec['role']): Promise<Worker> {
    const worker = await startWorker({
      name,
      ledger: this.reader.folder,
      adapter: this.settings.module,
      url,
      options: { ...this.settings.options },
      topic: this.topic,
      role,
    })
    this.#workers.push(worker)
    return worker
  }

  #logger(): Logger {
    const keep = (level: string) => (line: string) => {
      this.log.push(`${level} ${line}`)
    }
    return { debug: () => {}, info: keep('info'), warn: keep('warn'), error: keep('error') }
  }

  #state(): string {
    const { sent, confirmed, handled } = this.reader.refresh().counts
    const words = this.#workers.map((worker) => `${worker.name}:\n${worker.lastWords}`)
    return `${sent} sent, ${confirmed} confirmed, ${handled} handled\n${words.join('\n')}`
  }
}
