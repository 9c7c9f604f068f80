import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as duration } from 'node:timers/promises'
import { type AdapterDefinition, Transport } from '@streamswitch/core'
import { Watch } from '../conformance/collect.js'
import { uniqueName } from '../conformance/names.js'
import { Worker } from '../faults/worker.js'
import type { ProducerRole } from '../faults/worker-spec.js'
import { LedgerReader } from '../ledger/index.js'
import { Effects } from './effects.js'
import type { EffectivelyOnceSettings } from './settings.js'

const here = (file: string): string => new URL(file, import.meta.url).href

const KEYS = Array.from({ length: 12 }, (_, index) => `key-${index}`)

/** The processes of one run, the ledger that they write down what they do in, and the database that they do it to. */
export class Scenario implements AsyncDisposable {
  readonly topic = uniqueName('topic')
  readonly folder = mkdtempSync(join(tmpdir(), 'streamswitch-once-'))
  readonly effects = new Effects(this.folder, 'test')
  readonly transport: Transport
  readonly #settings: EffectivelyOnceSettings
  readonly #ledger = new LedgerReader(this.folder)
  readonly #workers: Worker[] = []
  readonly #watch = new Watch()
  readonly #stepMs: number

  private constructor(settings: EffectivelyOnceSettings, adapter: AdapterDefinition) {
    this.#settings = settings
    this.#stepMs = settings.stepMs ?? 60_000
    const { url, options = {} } = settings
    const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
    this.transport = new Transport(adapter, url, { environment: {}, logger: quiet, options })
  }

  static async open(settings: EffectivelyOnceSettings): Promise<Scenario> {
    const { default: adapter } = (await import(settings.adapter)) as { readonly default: AdapterDefinition }
    return new Scenario(settings, adapter)
  }

  /** A process that handles messages, with dedupe unless told otherwise. Started, perhaps not joined yet. */
  async consumer(name: string, group: string, dedupe = true): Promise<Worker> {
    const { consumer = {}, partitions = 6 } = this.#settings
    const settings = { partitions, memberName: name, retry: { minDelayMs: 5 }, ...consumer }
    const modules = { handler: here('handler.js'), ...(dedupe ? { settingsModule: here('loop-settings.js') } : {}) }
    return this.#start(name, { kind: 'consumer', group, settings, ...modules })
  }

  /** A process that sends messages. With `ids` that other producers have too, it sends what they send. */
  async producer(name: string, role: Pick<ProducerRole, 'count' | 'ids' | 'repeats' | 'pauseMs'>): Promise<Worker> {
    const { partitions = 6 } = this.#settings
    return this.#start(name, { kind: 'producer', settings: { partitions }, keys: KEYS, window: 20, ...role })
  }

  /** Ids of all messages that a producer knows to be accepted. */
  get confirmed(): readonly string[] {
    return this.#ledger.refresh().sends.flatMap(({ id, confirmed }) => (confirmed === true ? [id] : []))
  }

  /** How often these messages were sent, altogether. */
  calls(prefix: string): number {
    return this.#ledger.refresh().sends.reduce((sum, { id, calls }) => (id.startsWith(prefix) ? sum + calls : sum), 0)
  }

  /** Kills a worker while a handler of it is at work, which it makes sure of by stopping it first. */
  async killAtWork(worker: Worker): Promise<void> {
    const life = worker.pid
    const atWork = (): boolean =>
      this.#ledger
        .refresh()
        .handlings.some((one) => one.process === worker.name && one.life === life && one.outcome === 'running')
    let stopped = false
    await this.until(() => {
      // Twice, since a process stops a moment after it was told to.
      if (stopped && atWork()) return true
      if (stopped) worker.resume()
      else worker.freeze()
      stopped = !stopped
      return false
    }, `a handler at work in ${worker.name}`)
    await worker.kill()
  }

  /** Waits for a condition. */
  until(condition: () => boolean, what: string): Promise<void> {
    return this.#watch.until(condition, what, () => this.#state(), this.#stepMs)
  }

  /** Waits until a group has an effect of every confirmed message. */
  handledAll(group: string): Promise<void> {
    return this.until(() => {
      const done = new Set(this.effects.effects(group).map((effect) => effect.id))
      return this.confirmed.every((id) => done.has(id))
    }, `an effect of every confirmed message in ${group}`)
  }

  /** Messages that a group has not settled. */
  async lag(group: string): Promise<number> {
    const { partitions = 6 } = this.#settings
    const spec = this.transport.topicSpec(this.topic, { partitions })
    const lags = await this.transport.admin.lag(spec, this.transport.brokerGroup(group))
    return lags.reduce((sum, { lag, unacked = 0 }) => sum + lag + unacked, 0)
  }

  /** Waits until a group has settled everything. */
  async settledAll(group: string): Promise<void> {
    const deadline = performance.now() + this.#stepMs
    for (;;) {
      const lag = await this.lag(group)
      if (lag === 0) return
      await duration(50)
      if (performance.now() > deadline)
        throw new Error(`group ${group} has not settled ${lag} messages; ${this.#state()}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.kill()))
    this.effects.close()
    await this.transport.admin.deleteTopic(this.transport.topicSpec(this.topic))
    await this.transport.close()
    rmSync(this.folder, { recursive: true, force: true })
  }

  async #start(name: string, role: Worker['spec']['role']): Promise<Worker> {
    const { adapter, url, options = {} } = this.#settings
    const worker = new Worker({ name, ledger: this.folder, adapter, url, options, topic: this.topic, role })
    this.#workers.push(worker)
    await worker.start()
    return worker
  }

  #state(): string {
    const running = this.#workers.filter((worker) => worker.running).map((worker) => worker.name)
    const { sends, handlings } = this.#ledger
    return `running: ${running.join(', ')}; ${sends.length} messages, ${handlings.length} handler starts`
  }
}
