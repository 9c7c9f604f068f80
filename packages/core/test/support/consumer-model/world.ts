import { vi } from 'vitest'
import type { ConsumerLoop } from '../../../src/consumer/consumer-loop.js'
import { type Delivery, DeliveryState } from '../../../src/consumer/delivery.js'
import type { PartitionState } from '../../../src/consumer/partition-state.js'
import type { ProducerDriver } from '../../../src/contract/producer-driver.js'
import type { PublishBatch } from '../../../src/contract/record.js'
import { MemoryDedupeStore } from '../../../src/dedupe/memory-dedupe-store.js'
import { StreamError } from '../../../src/errors.js'
import { nextTurn } from '../../../src/time.js'
import { Transport } from '../../../src/transport/transport.js'
import { DEAD_LETTER_HEADERS } from '../../../src/wire/reserved-headers.js'
import { Script, scriptedAdapter } from '../scripted-adapter.js'
import { ModelBroker } from './broker.js'
import { resetModelClock, timersThatHold } from './clock.js'
import { ModelDriver } from './driver.js'

/** What a history runs with. */
export interface Scenario {
  readonly settlement: 'individual' | 'cumulative'
  readonly ordering: 'key' | 'none'
  readonly ack: 'auto' | 'manual'
  readonly concurrency: number
  readonly attempts: number
  readonly errorPolicy: 'restart' | 'stop'
  readonly deadLetter: boolean
  readonly dedupe: boolean
  readonly settleIntervalMs: number
  readonly maxAheadMessages: number
  /** Handlers fail as soon as their signal aborts; otherwise they don't look at it. */
  readonly polite: boolean
}

/** Why a message may be acked. */
type Reason = 'success' | 'ack' | 'dead letter' | 'skipped' | 'duplicate' | 'another group'

/** What is known of one delivery. */
export interface Track {
  readonly delivery: Delivery
  readonly reasons: Set<Reason>
  starts: number
  acks: number
}

/** A start of a handler that has not ended. */
export interface Run {
  readonly track: Track
  readonly number: number
  end(error?: { readonly thrown: unknown }): void
}

type Calls = 'acks' | 'deadLetters' | 'notes'

export type Mode = 'ok' | 'held' | 'failing' | 'unanswered' | 'refused'

const SILENT = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const ISOLATION = Symbol.for('streamswitch.Isolation')

const HANDLER_TIMEOUT_MS = 1_000
const SLICE_MS = 200

/** One history: a loop on a broker that does as it is told, its handlers, and everything that must hold meanwhile. */
export class World {
  readonly scenario: Scenario
  readonly broker: ModelBroker
  /** Counts processes: what one that is gone still does is none of the history's. */
  life = 0
  tracks = new Map<Delivery, Track>()
  runs: Run[] = []
  readonly violations: string[] = []
  acks: Mode = 'ok'
  deadLetters: Mode = 'ok'
  notes: Mode = 'ok'
  opens: Mode = 'ok'
  /** Handlers succeed as soon as they are started. */
  atOnce = false
  paused = false
  hasFailed = false
  closing: Promise<void> | undefined
  /** How `run` ended. */
  ended: { readonly error: unknown } | undefined
  /** Something was refused for good: only a new connection brings its messages again. */
  wasRefused = false
  #loop!: ConsumerLoop<string>
  #transport!: Transport
  #held: { readonly work: () => void; readonly kind: Calls }[] = []
  /** Calls of `ack` and `nack` that have not settled. */
  #calls = new Set<object>()
  #counts = { deadLetter: 0, skipped: 0, deduplicated: 0 }
  /** Messages that a handler has succeeded with, in any life. */
  readonly #handled = new Set<string>()
  readonly #store = new MemoryDedupeStore()

  constructor(scenario: Scenario) {
    this.scenario = scenario
    this.broker = new ModelBroker(this)
    this.#begin()
  }

  get loop(): ConsumerLoop<string> {
    return this.#loop
  }

  /** A process, and its loop. */
  #begin(): void {
    const { scenario } = this
    delete (globalThis as Record<symbol, unknown>)[ISOLATION]
    this.life += 1
    const { life } = this
    const isAlive = (): boolean => this.life === life
    const script = new Script()
    const adapter = scriptedAdapter(script, {
      connect: () => ({
        native: script,
        admin: {
          provision: async (spec) => ({ topic: spec.topic, partitions: 1 }),
          topics: async () => [],
          lag: async () => [],
          deleteTopic: async () => {},
        },
        producer: () => this.#deadLetterDriver(isAlive),
        consumer: (_spec, sink) => new ModelDriver(this, sink),
        close: async () => {},
      }),
    })
    this.#transport = new Transport(adapter, 'scripted://', { logger: SILENT })
    const loop = this.#transport.consumer('orders', {
      group: 'billing',
      retry: { attempts: scenario.attempts, minDelayMs: 10, maxDelayMs: 100 },
      deadLetter: scenario.deadLetter,
      errorPolicy: scenario.errorPolicy,
      ordering: scenario.ordering,
      ack: scenario.ack,
      concurrency: scenario.concurrency,
      handlerTimeoutMs: HANDLER_TIMEOUT_MS,
      handlerGraceMs: 500,
      maxAheadMessages: scenario.maxAheadMessages,
      prefetch: 4,
      probeIntervalMs: 0,
      stallTimeoutMs: 0,
      ...(scenario.dedupe ? { dedupe: { store: this.#store } } : {}),
    }) as ConsumerLoop<string>
    this.#loop = loop
    this.ended = undefined
    loop.handle((message) => (isAlive() ? this.#handle(message as unknown as Delivery) : new Promise(() => {})))
    this.#listen(loop, isAlive)
    const end = (error: unknown): void => {
      if (isAlive()) this.ended = { error }
    }
    loop.run().then(() => end(undefined), end)
  }

  #listen(loop: ConsumerLoop<string>, isAlive: () => boolean): void {
    loop.on('deadLetter', () => {
      if (isAlive()) this.#counts.deadLetter += 1
    })
    loop.on('error', () => {
      // So do reports; only after a failure `init` rejects with it at once.
      loop.init().catch(() => {
        if (isAlive()) this.hasFailed = true
      })
    })
    loop.on('skipped', ({ id }) => {
      if (!isAlive()) return
      this.#counts.skipped += 1
      for (const track of this.tracks.values())
        if (track.delivery.id === id && track.delivery.state === DeliveryState.Waiting) track.reasons.add('skipped')
    })
    loop.on('deduplicated', ({ id, partition, offset }) => {
      if (!isAlive()) return
      this.#counts.deduplicated += 1
      const twins = [...this.tracks.values()].filter(({ delivery }) => delivery.id === id)
      if (!this.#handled.has(id)) this.violation(`message ${id} was taken for a duplicate and was never handled`)
      for (const { delivery, reasons } of twins)
        if (delivery.partition === partition && delivery.offset === offset) reasons.add('duplicate')
    })
  }

  /** The process ends in the middle of what it does, and another one begins. */
  crash(): void {
    this.broker.crashed()
    resetModelClock()
    this.tracks = new Map()
    this.runs = []
    this.#held = []
    this.#calls = new Set()
    this.#counts = { deadLetter: 0, skipped: 0, deduplicated: 0 }
    this.paused = false
    this.hasFailed = false
    this.closing = undefined
    this.wasRefused = false
    this.#begin()
  }

  /** Handlers that others could be charged for: those that a lost partition has left behind are waited for by nobody. */
  get atWork(): readonly Delivery[] {
    return [...this.tracks.keys()].filter((one) => one.handling && !one.slotless && !isClosed(one))
  }

  violation(what: string): void {
    this.violations.push(what)
  }

  /** A call that the loop makes to the broker or to its dead letters: answered as the mode says. */
  call(kind: Calls, apply: () => void): Promise<void> {
    const mode = this[kind]
    const answer = (): Promise<void> => {
      try {
        apply()
        return Promise.resolve()
      } catch (error) {
        return Promise.reject(error)
      }
    }
    if (mode === 'ok') return answer()
    if (mode === 'failing') return Promise.reject(new StreamError('not now', { code: 'UNAVAILABLE' }))
    if (mode === 'refused') {
      this.wasRefused = true
      return Promise.reject(new StreamError('never', { code: 'PERMISSION_DENIED', retryable: false }))
    }
    if (mode === 'unanswered') {
      return answer().then(() => Promise.reject(new StreamError('no answer', { code: 'UNAVAILABLE' })))
    }
    return new Promise((resolve, reject) => {
      this.#held.push({ kind, work: () => void answer().then(resolve, reject) })
    })
  }

  release(kind: Calls): void {
    const due = this.#held.filter((one) => one.kind === kind)
    for (const one of due) this.#held.splice(this.#held.indexOf(one), 1)
    for (const { work } of due) work()
  }

  /** Lets everything happen that needs no time. */
  async settle(turns = 3): Promise<void> {
    for (let turn = 0; turn < turns; turn += 1) await new Promise<void>((resolve) => nextTurn(resolve))
  }

  async advance(ms: number): Promise<void> {
    // Not at one go: what a timer starts goes on before the next one.
    for (let left = ms; left > 0; left -= SLICE_MS) {
      vi.advanceTimersByTime(Math.min(left, SLICE_MS))
      await this.settle(1)
    }
    await this.settle(1)
  }

  /** `message.ack()` by the handler or by somebody later. */
  ack(track: Track): void {
    const { delivery } = track
    const valid = delivery.state === DeliveryState.Running && delivery.nacked === undefined && !isClosed(delivery)
    if (valid) this.#succeeded(track, 'ack')
    this.#watch(delivery.ack())
  }

  nack({ delivery }: Track): void {
    this.#watch(delivery.nack('no'))
  }

  close(timeoutMs: number): void {
    this.closing ??= this.loop.close({ timeoutMs })
  }

  #watch(call: Promise<void>): void {
    const calls = this.#calls
    calls.add(call)
    const over = (): void => void calls.delete(call)
    call.then(over, over)
  }

  #handle(delivery: Delivery): unknown {
    const track = this.tracks.get(delivery)
    if (track === undefined) return this.violation(`message ${delivery.id} came from nowhere`)
    this.#checkStart(track)
    track.starts += 1
    const number = delivery.run
    if (this.atOnce) {
      this.#ending(track, number)
      if (this.scenario.ack === 'manual') this.ack(track)
      return undefined
    }
    return new Promise<void>((resolve, reject) => {
      const run: Run = {
        track,
        number,
        end: (error) => {
          const index = this.runs.indexOf(run)
          if (index < 0) return
          this.runs.splice(index, 1)
          if (error !== undefined) return reject(error.thrown)
          this.#ending(track, number)
          resolve()
        },
      }
      this.runs.push(run)
      if (this.scenario.polite)
        delivery.signal.addEventListener('abort', () => run.end({ thrown: delivery.signal.reason }), { once: true })
    })
  }

  /** A handler ends well: whether that counts is known before anything else happens. */
  #ending(track: Track, number: number): void {
    const { delivery } = track
    const counts = delivery.run === number && delivery.handling && !delivery.timedOut && delivery.nacked === undefined
    if (counts && this.scenario.ack === 'auto') this.#succeeded(track, 'success')
    else if (this.scenario.dedupe && delivery.state === DeliveryState.Dropped && delivery.claim !== undefined)
      // It outlived its partition: dedupe marks it as done.
      this.#succeeded(track, 'success')
  }

  #succeeded({ delivery, reasons }: Track, why: Reason): void {
    reasons.add(why)
    this.#handled.add(delivery.id)
  }

  #checkStart({ delivery, starts }: Track): void {
    const { id, key, assignment, attempt } = delivery
    if (this.paused) this.violation(`message ${id} was started while the loop was paused`)
    if (this.broker.holder(assignment) === undefined)
      this.violation(`message ${id} was started of a partition that is gone`)
    if (attempt > this.scenario.attempts) this.violation(`message ${id} was started ${attempt} times`)
    if (!this.scenario.dedupe && this.notes === 'ok' && attempt < starts)
      this.violation(`message ${id} has attempt ${attempt} at its start ${starts + 1}`)
    if (delivery.headers.onlyGroup !== undefined) this.violation(`message ${id} is for another group`)
    if (this.scenario.ordering === 'none' || key === undefined) return
    for (const { delivery: other } of this.tracks.values()) {
      if (other === delivery) return
      if (other.assignment !== assignment || other.key !== key || other.partitionState === undefined) continue
      if (other.state < DeliveryState.Settled)
        this.violation(`message ${id} was started before ${other.id} of its key was done`)
    }
  }

  /** Whether the broker may take an ack of it. */
  mayBeAcked(delivery: Delivery): boolean {
    return (this.tracks.get(delivery)?.reasons.size ?? 0) > 0
  }

  #deadLetterDriver(isAlive: () => boolean): ProducerDriver {
    return {
      maxInFlightBatches: 1,
      open: async () => ({ partitions: 1, maxPayloadBytes: 1_000_000 }),
      publish: (batch) => (isAlive() ? this.#publish(batch) : new Promise(() => {})),
      close: async () => {},
    }
  }

  #publish(batch: PublishBatch): Promise<void> {
    const accept = (): void => {
      for (const [index, { headers }] of batch.records.entries()) {
        const partition = Number(headers?.[DEAD_LETTER_HEADERS.partition])
        const offset = headers?.[DEAD_LETTER_HEADERS.offset]
        for (const { delivery, reasons } of this.tracks.values())
          if (delivery.partition === partition && delivery.offset === offset) reasons.add('dead letter')
        batch.accept(index)
      }
    }
    return this.call('deadLetters', accept).catch((error: unknown) => {
      for (const index of batch.records.keys()) batch.fail(index, error)
    })
  }

  /** What must hold whenever nothing moves. */
  check(): void {
    const stats = this.loop.stats()
    const tracks = [...this.tracks.values()]
    const expect = (name: string, value: unknown, expected: unknown): void => {
      if (value !== expected) this.violation(`${name} is ${value}, not ${expected}`)
    }
    // What comes while a partition is let go is ignored.
    const deliveries = tracks
      .map((track) => track.delivery)
      .filter(({ partitionState }) => partitionState !== undefined)
    const count = (test: (delivery: Delivery) => boolean): number => deliveries.filter(test).length
    const bytes = deliveries.reduce((sum, one) => sum + (isOpen(one) && isUnsettled(one) ? one.size : 0), 0)
    expect('received', stats.received, deliveries.length)
    expect(
      'running',
      stats.running,
      count((one) => one.handling && !one.slotless),
    )
    if (stats.running > this.scenario.concurrency) this.violation(`${stats.running} handlers run`)
    expect(
      'acked',
      stats.acked,
      count((one) => one.state === DeliveryState.Acked),
    )
    expect('inboxBytes', stats.inboxBytes, bytes)
    expect('deadLettered', stats.deadLettered, this.#counts.deadLetter)
    expect('skipped', stats.skipped, this.#counts.skipped)
    expect('deduplicated', stats.deduplicated, this.#counts.deduplicated)
    const alone = this.atWork.find(({ isolated }) => isolated)
    if (alone !== undefined && this.atWork.length > 1)
      this.violation(`message ${alone.id} is to be alone, and ${this.atWork.length - 1} others are at work`)
    for (const partition of this.#partitions()) this.#checkPartition(partition, deliveries)
    for (const delivery of deliveries)
      if (delivery.handling && isClosed(delivery) && !delivery.signal.aborted)
        this.violation(`the signal of message ${delivery.id} is not aborted, and its partition is gone`)
  }

  /** The loop is closed, or closes since it has failed. */
  get ending(): boolean {
    return this.closing !== undefined || this.hasFailed
  }

  #partitions(): Set<PartitionState> {
    const found = new Set<PartitionState>()
    for (const { delivery } of this.tracks.values())
      if (delivery.partitionState !== undefined) found.add(delivery.partitionState)
    return found
  }

  #checkPartition(partition: PartitionState, deliveries: readonly Delivery[]): void {
    const own = deliveries.filter((one) => one.partitionState === partition)
    const number = partition.assignment.partition
    const running = own.filter((one) => one.handling).length
    if (partition.running !== running)
      this.violation(`partition ${number} counts ${partition.running} running, not ${running}`)
    if (partition.phase === 'closed') return
    const retrying = own.filter((one) => one.state === DeliveryState.Retrying).length
    if (partition.retrying !== retrying)
      this.violation(`partition ${number} counts ${partition.retrying} retrying, not ${retrying}`)
    if (partition.phase !== 'open' || this.ending) return
    for (const [key, tail] of partition.keyTails)
      if (tail.state >= DeliveryState.Settled && !tail.handling)
        this.violation(`key ${key} of partition ${number} is held by message ${tail.id}, which is done`)
  }

  /** Brings everything to its end, and looks for what is left over. */
  async finish(): Promise<void> {
    for (const kind of ['acks', 'deadLetters', 'notes'] as const) {
      this[kind] = 'ok'
      this.release(kind)
    }
    this.opens = 'ok'
    this.atOnce = true
    while (this.runs.length > 0) this.runs[0]?.end()
    await this.settle()
    if (this.closing === undefined && this.ended === undefined) await this.#drain()
    this.close(1_000)
    let closed = false
    void this.closing?.then(() => {
      closed = true
    })
    for (let round = 0; round < 200 && !(closed && this.ended !== undefined); round += 1) await this.advance(100)
    if (!closed) return this.violation('close() never ends')
    if (this.ended === undefined) this.violation('run() never ends')
    await this.#transport.close()
    await this.settle()
    this.check()
    this.#checkLeftOvers()
  }

  #leftOver(): string | undefined {
    const { running, unsettled, waiting, inboxBytes } = this.loop.stats()
    if (running + unsettled + waiting + inboxBytes === 0) return undefined
    return JSON.stringify({ running, unsettled, waiting, inboxBytes })
  }

  async #drain(): Promise<void> {
    this.paused = false
    this.loop.resume()
    for (const track of this.tracks.values()) if (track.delivery.state === DeliveryState.Running) this.ack(track)
    if (this.wasRefused) this.broker.cut()
    for (let round = 0; round < 400 && this.broker.unfinished > 0 && this.ended === undefined; round += 1) {
      this.broker.assignAll()
      await this.advance(round < 20 ? 20 : 200)
    }
    if (this.ended !== undefined) return
    if (this.broker.unfinished > 0)
      return this.violation(`${this.broker.unfinished} messages are never done: ${this.summary()}`)
    await this.settle()
    this.check()
    // A partition that is being handed over (a seek) keeps what it has for as long as its acks may take.
    for (let round = 0; round < 100 && this.#leftOver() !== undefined; round += 1) await this.advance(200)
    const leftOver = this.#leftOver()
    if (leftOver !== undefined) this.violation(`left over: ${leftOver}`)
    for (const partition of this.#partitions())
      if (partition.phase === 'open' && partition.keyTails.size > 0)
        this.violation(`keys are held: ${[...partition.keyTails.keys()]}`)
  }

  summary(): string {
    const seen = [...this.tracks.values()].map(
      ({ delivery, starts, reasons }) =>
        `${delivery.id}@${delivery.partition}/${delivery.offset} state ${delivery.state} starts ${starts} (${[...reasons]})`,
    )
    return `${seen.join('; ')}; ${JSON.stringify(this.loop.stats())}`
  }

  #checkLeftOvers(): void {
    if (this.#calls.size > 0) this.violation(`${this.#calls.size} calls of ack() or nack() never settled`)
    const timers = timersThatHold()
    if (timers > 0) this.violation(`${timers} timers are left`)
    for (const { delivery } of this.tracks.values()) {
      if (delivery.partitionState !== undefined && isUnsettled(delivery))
        this.violation(`message ${delivery.id} ended in state ${delivery.state}`)
      if (delivery.handling) this.violation(`message ${delivery.id} still counts as running`)
    }
  }
}

function isClosed(delivery: Delivery): boolean {
  return delivery.partitionState?.phase === 'closed'
}

function isOpen(delivery: Delivery): boolean {
  return delivery.partitionState !== undefined && !isClosed(delivery)
}

function isUnsettled(delivery: Delivery): boolean {
  return delivery.state < DeliveryState.Settled
}
