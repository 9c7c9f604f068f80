import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type DeadLetter, type DeadLetterBox, deadLetterTopic, Transport } from '@streamswitch/core'
import { expect, type TestContext } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import { Worker } from '../faults/worker.js'
import { type LedgerHandling, LedgerReader } from '../ledger/index.js'
import type { ProcessLine } from '../ledger/ledger-reader.js'
import type { CaseMessage } from './deed.js'
import type { CrashSettings } from './settings.js'

/** Of the test's own context: the cases run side by side. */
export type AtEnd = TestContext['onTestFinished']

const HANDLER = new URL('./deed-handler.js', import.meta.url).href
const POLL_MS = 20
/** Reading dead letters takes connections of their own. */
const LETTERS_EVERY_MS = 250
/** Starting a process and connecting, on a busy machine. */
export const START_MS = 60_000

export interface SceneOptions {
  /** Default 1. */
  readonly members?: number
  /** Default: the broker's. */
  readonly partitions?: number
  /** Options of the loops besides those of the settings. */
  readonly consumer: Readonly<Record<string, unknown>>
  /** As in `ConsumerRole`. */
  readonly closeTimeoutMs?: number
  /** As in `ConsumerRole`: before what the message does. */
  readonly handlerMs?: number
  /** Module that makes further options: see `ConsumerRole.settingsModule`. */
  readonly settingsModule?: string
}

export interface Supervision {
  readonly mostDeaths: number
  readonly patienceMs: number
  /** Whether a member that doesn't run may be started. Default: any. */
  readonly mayStart?: (worker: Worker) => boolean
}

/** A topic, a group, members in processes of their own, and a supervisor that starts those again that have ended. */
export class CrashScene {
  readonly workers: readonly Worker[]
  /** Its folder. */
  readonly ledger: string
  /** How often the supervisor found a process that had ended unasked. */
  deaths = 0
  readonly #transport: Transport
  readonly #reader: LedgerReader
  readonly #box: DeadLetterBox
  readonly #topic: string
  readonly #group: string
  readonly #partitions: number | undefined
  #letters: readonly DeadLetter[] = []
  #lettersAt = Number.NEGATIVE_INFINITY

  private constructor(settings: CrashSettings, scene: SceneOptions, ledger: string) {
    const { adapter, module, url, options = {}, consumer = {} } = settings
    const { members = 1, partitions, closeTimeoutMs, handlerMs = 0, settingsModule } = scene
    this.#topic = uniqueName('crash')
    this.#group = uniqueName('group')
    this.ledger = ledger
    this.#partitions = partitions
    this.#transport = new Transport(adapter, typeof url === 'string' ? url : url(), {
      environment: {},
      options,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
    })
    this.workers = Array.from({ length: members }, (_, index) => {
      const more = partitions === undefined ? {} : { partitions }
      return new Worker({
        name: `member-${index}`,
        ledger,
        adapter: module,
        url: typeof url === 'string' ? url : url(),
        options,
        topic: this.#topic,
        role: {
          kind: 'consumer',
          group: this.#group,
          handler: HANDLER,
          handlerMs,
          settings: { connectTimeoutMs: START_MS, ...more, ...consumer, ...scene.consumer },
          ...(closeTimeoutMs === undefined ? {} : { closeTimeoutMs }),
          ...(settingsModule === undefined ? {} : { settingsModule }),
        },
      })
    })
    this.#reader = new LedgerReader(ledger)
    this.#box = this.#transport.deadLetters(this.#topic, { group: this.#group, timeoutMs: START_MS })
  }

  /** The group is there before the messages are, on every transport; nothing runs yet. */
  static async open(settings: CrashSettings, options: SceneOptions, atEnd: AtEnd): Promise<CrashScene> {
    const scene = new CrashScene(settings, options, await mkdtemp(join(tmpdir(), 'streamswitch-crash-')))
    atEnd(() => scene.#close())
    const first = scene.worker
    await first.start()
    await first.ready(START_MS)
    first.terminate()
    await first.ended(START_MS)
    return scene
  }

  async #close(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.kill()))
    await this.#box.close()
    for (const name of [this.#topic, deadLetterTopic(this.#topic, this.#group)])
      await this.#transport.admin.deleteTopic(this.#transport.topicSpec(name))
    await this.#transport.close({ timeoutMs: 0 })
    await rm(this.ledger, { recursive: true, force: true })
  }

  get worker(): Worker {
    return this.workers[0] as Worker
  }

  async send(messages: readonly CaseMessage[]): Promise<void> {
    const partitions = this.#partitions === undefined ? {} : { partitions: this.#partitions }
    const producer = this.#transport.producer(this.#topic, partitions)
    await Promise.all(messages.map(({ id, deed }) => producer.send(deed, { id, key: id })))
    await producer.close()
  }

  /** Handler starts so far. */
  starts(): readonly LedgerHandling[] {
    return this.#reader.refresh().handlings
  }

  /** What happened to the processes so far. */
  events(): readonly ProcessLine[] {
    return this.#reader.refresh().processes
  }

  startsOf(id: string): readonly LedgerHandling[] {
    return this.starts().filter((start) => start.id === id)
  }

  handledAll(messages: readonly CaseMessage[]): boolean {
    const done = new Set(this.starts().flatMap(({ id, outcome }) => (outcome === 'succeeded' ? [id] : [])))
    return messages.every(({ id }) => done.has(id))
  }

  /** The dead letters, as they were a moment ago at most. */
  async letters(): Promise<readonly DeadLetter[]> {
    if (performance.now() < this.#lettersAt + LETTERS_EVERY_MS) return this.#letters
    this.#letters = (await this.#box.list()).letters
    this.#lettersAt = performance.now()
    return this.#letters
  }

  /** What was running at the end of each life that has ended so, in the order of the lives: started, and never ended. */
  atWorkAtDeaths(): readonly (readonly LedgerHandling[])[] {
    const lives = new Map<string, LedgerHandling[]>()
    for (const start of this.starts()) {
      const life = `${start.process} ${start.life}`
      lives.set(life, [...(lives.get(life) ?? []), start])
    }
    const running = new Set(this.workers.flatMap(({ name, pid }) => (pid === undefined ? [] : [`${name} ${pid}`])))
    return [...lives]
      .filter(([life]) => !running.has(life))
      .map(([, starts]) => starts.filter(({ outcome }) => outcome === 'running'))
      .filter((starts) => starts.length > 0)
  }

  /** The handler starts, by life. */
  story(): string {
    const lives = new Map<string, string[]>()
    for (const { process, life, id, attempt, outcome } of this.starts()) {
      const name = `${process} ${life}`
      lives.set(name, [...(lives.get(name) ?? []), `${id} (${attempt}, ${outcome})`])
    }
    return [...lives].map(([name, starts]) => `${name}: ${starts.join(', ')}`).join('\n')
  }

  async until(condition: () => boolean | Promise<boolean>, what: string, timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!(await condition())) {
      if (performance.now() > deadline)
        throw new Error(`waited ${timeoutMs} ms for: ${what}; handler starts:\n${this.story()}`)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /**
   * Keeps the members running, as a supervisor does, until the condition holds. Fails when more processes have ended by themselves than
   * `mostDeaths`, or nothing has changed (no start, no death) for `patienceMs`.
   */
  async supervise(
    condition: () => boolean | Promise<boolean>,
    what: string,
    { mostDeaths, patienceMs, mayStart = () => true }: Supervision,
  ): Promise<void> {
    const begun = new Set(this.workers.filter(({ running }) => running))
    let [seen, changedAt] = ['', performance.now()]
    while (!(await condition())) {
      for (const worker of this.workers) {
        if (worker.running || !mayStart(worker)) continue
        if (begun.has(worker)) this.deaths += 1
        expect(this.deaths, `deaths are bounded; handler starts:\n${this.story()}`).toBeLessThanOrEqual(mostDeaths)
        begun.add(worker)
        await worker.start()
      }
      const state = `${this.deaths} ${this.starts().length} ${this.#letters.length}`
      if (state !== seen) [seen, changedAt] = [state, performance.now()]
      if (performance.now() > changedAt + patienceMs)
        throw new Error(
          `nothing has happened for ${patienceMs} ms, waiting for: ${what}; handler starts:\n${this.story()}`,
        )
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** No start of a message that did nothing counts more than the first. */
  expectUncharged(guilty: (id: string) => boolean): void {
    const charged = this.starts().filter(({ id, attempt }) => !guilty(id) && attempt > 1)
    expect(charged, `no neighbour is charged; handler starts:\n${this.story()}`).toEqual([])
  }
}
