import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import {
  type ConsumerLoop,
  type DeadLetterBox,
  deadLetterTopic,
  type Handler,
  type Producer,
  type Transport,
} from '@streamswitch/core'
import fc, { type Arbitrary } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { uniqueName } from '../conformance/names.js'
import { sharesOf } from './arbitraries.js'

/** A message as a foreign client writes it. */
export interface ForeignMessage<Native> {
  /** The argument of {@link ForeignMessageSettings.write}. */
  readonly native: Native
  /** Its oddities: names from {@link ForeignMessageSettings.kinds}. */
  readonly kinds: readonly string[]
}

/** Settings of the property for an adapter. */
export interface ForeignMessageSettings<Native> {
  /** Opens a transport; called twice, closed by the property. */
  open(): Transport
  readonly arbitrary: Arbitrary<ForeignMessage<Native>>
  /** Every kind of oddity: each must occur in at least 5 % of the messages. */
  readonly kinds: readonly string[]
  /**
   * Writes them to an existing topic, by a client that shares no code with the adapter's producer. Resolves when the
   * broker has them.
   */
  write(topic: string, natives: readonly Native[], group: string): Promise<void>
  /**
   * Everything of a received message (`message.native`) that must stay unchanged, as one string: without reserved
   * headers, Streamswitch's own ids and timestamps, and what the broker adds.
   */
  canonical(native: unknown): string
  /** The same of what is written: every message must be received like that. */
  written(native: Native): string
  /** Default 1. */
  readonly partitions?: number
  /**
   * Whether the failing loop answers requests. Default false. With it, reply addresses of other systems among the
   * messages don't make requests.
   */
  readonly replies?: boolean
  /**
   * Number of messages. Default 300, or `STREAMSWITCH_FOREIGN_MESSAGES`; with that variable, shares and times are
   * printed.
   */
  readonly count?: number
}

/** Messages per call of `write`. */
const CHUNK = 1_000
/** Maximum page of a list of dead letters. */
const PAGE = 10_000
const LEAST_PERCENT = 5
const POLL_MS = 20

/**
 * Declares the property: messages that a foreign client wrote fail, are all dead-lettered, listed, replayed, handled,
 * forwarded to another topic and handled there, and stay unchanged throughout. A failure names the seed of its messages
 * (`STREAMSWITCH_FOREIGN_SEED`).
 */
export function passesForeignMessages<Native>(settings: ForeignMessageSettings<Native>): void {
  const asked = Number(process.env.STREAMSWITCH_FOREIGN_MESSAGES ?? Number.NaN)
  const count = Number.isInteger(asked) ? asked : (settings.count ?? 300)
  const seed = Number(process.env.STREAMSWITCH_FOREIGN_SEED ?? randomInt(2 ** 31))
  const timeoutMs = 60_000 + count * 20
  describe('messages of foreign clients', () => {
    test(`stay as they came through dead letters, replays and forwarding (seed ${seed})`, {
      timeout: timeoutMs,
    }, async () => {
      const messages = fc.sample(settings.arbitrary, { numRuns: count, seed })
      const shares = sharesOf(messages, settings.kinds)
      for (const { kind, percent } of shares)
        expect(percent, `share of '${kind}'`).toBeGreaterThanOrEqual(LEAST_PERCENT)
      await using journey = new Journey(settings, timeoutMs)
      const stages: string[] = []
      const stage = async (name: string, work: () => Promise<void>): Promise<void> => {
        const started = performance.now()
        await work()
        stages.push(`${name} ${Math.round(performance.now() - started)} ms`)
      }
      await stage('joined in', () => journey.start())
      await stage('written in', () => journey.write(messages))
      await stage('dead-lettered in', () => journey.awaitDeadLetters(count))
      await stage('listed in', () => journey.list(count))
      await stage('replayed in', () => journey.replay(count))
      await stage('handled and forwarded in', () => journey.awaitForwarded())
      journey.check(messages.map(({ native }) => settings.written(native)))
      if (Number.isInteger(asked)) print(count, seed, shares, stages)
    })
  })
}

type Share = ReturnType<typeof sharesOf>[number]

function print(count: number, seed: number, shares: readonly Share[], stages: readonly string[]): void {
  const kinds = shares.map(({ kind, percent }) => `${kind} ${percent} %`)
  process.stdout.write(`${count} messages, seed ${seed}: ${kinds.join(', ')}\n${stages.join(', ')}\n`)
}

/** Canonical forms by message id. Several messages may have one id. */
class Seen {
  readonly forms = new Map<string, Set<string>>()
  total = 0

  add(id: string, form: string): void {
    this.total += 1
    const forms = this.forms.get(id)
    if (forms === undefined) this.forms.set(id, new Set([form]))
    else forms.add(form)
  }

  has(id: string): boolean {
    return this.forms.has(id)
  }
}

/** The way of all messages: two topics, one group. */
class Journey<Native> implements AsyncDisposable {
  readonly #settings: ForeignMessageSettings<Native>
  readonly #deadline: number
  readonly #transport: Transport
  readonly #sink: Transport
  readonly #topic = uniqueName('foreign')
  readonly #second = uniqueName('forwarded')
  readonly #group = uniqueName('group')
  readonly #loops: ConsumerLoop[] = []
  readonly #box: DeadLetterBox
  readonly #producer: Producer
  readonly #arrived = new Seen()
  readonly #replayed = new Seen()
  readonly #forwarded = new Seen()
  #failing = true
  #deadLetters = 0
  #failure: { readonly error: unknown } | undefined

  constructor(settings: ForeignMessageSettings<Native>, timeoutMs: number) {
    this.#settings = settings
    this.#deadline = performance.now() + timeoutMs - 3_000
    this.#transport = settings.open()
    this.#sink = settings.open()
    this.#box = this.#transport.deadLetters(this.#topic, { group: this.#group })
    this.#producer = this.#transport.producer(this.#second, { partitions: settings.partitions ?? 1 })
  }

  async start(): Promise<void> {
    const { canonical } = this.#settings
    await this.#producer.init()
    await this.#run(this.#transport, this.#topic, async (message) => {
      if (this.#failing) {
        this.#arrived.add(message.id, canonical(message.native))
        throw new Error('fails')
      }
      this.#replayed.add(message.id, canonical(message.native))
      await this.#producer.forward(message)
    })
    await this.#run(this.#sink, this.#second, (message) => {
      this.#forwarded.add(message.id, canonical(message.native))
    })
  }

  async write(messages: readonly ForeignMessage<Native>[]): Promise<void> {
    for (let from = 0; from < messages.length; from += CHUNK) {
      const natives = messages.slice(from, from + CHUNK).map(({ native }) => native)
      await this.#settings.write(this.#topic, natives, this.#group)
    }
  }

  async awaitDeadLetters(count: number): Promise<void> {
    await this.#until(
      () => this.#deadLetters >= count,
      () => `${count} dead letters, got ${this.#deadLetters}`,
    )
    expect(this.#deadLetters).toBe(count)
  }

  async list(count: number): Promise<void> {
    let listed = 0
    let cursor: string | undefined
    do {
      const page = await this.#box.list({ limit: PAGE, ...(cursor === undefined ? {} : { cursor }) })
      listed += page.letters.length
      for (const { incomplete, notCarried } of page.letters)
        expect([incomplete, notCarried]).toEqual([undefined, undefined])
      cursor = page.cursor
    } while (cursor !== undefined)
    expect(listed, 'dead letters in the list').toBe(count)
  }

  async replay(count: number): Promise<void> {
    this.#failing = false
    expect(await this.#box.replay({ all: true })).toEqual({ count, missing: [], incomplete: [] })
  }

  async awaitForwarded(): Promise<void> {
    const wanted = this.#arrived
    const missing = (): number =>
      wanted.total === 0 ? 1 : [...wanted.forms.keys()].filter((id) => !this.#forwarded.has(id)).length
    await this.#until(
      () => this.#forwarded.total >= wanted.total && missing() === 0,
      () => `all to be forwarded: ${missing()} of ${wanted.total} missing, ${this.#replayed.total} were replayed`,
    )
  }

  check(written: readonly string[]): void {
    const arrived = [...this.#arrived.forms.values()].flatMap((forms) => [...forms])
    expectSame(arrived, [...new Set(written)], 'arrived as it was written')
    expectSameForms(this.#arrived, this.#replayed, 'replayed as it arrived')
    expectSameForms(this.#arrived, this.#forwarded, 'forwarded as it arrived')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#loops.map((loop) => loop.close({ timeoutMs: 1_000 })))
    const topics = [this.#topic, this.#second, deadLetterTopic(this.#topic, this.#group)]
    for (const topic of topics) await this.#transport.admin.deleteTopic(this.#transport.topicSpec(topic))
    await Promise.all([this.#transport, this.#sink].map((transport) => transport.close({ timeoutMs: 1_000 })))
  }

  async #run(transport: Transport, topic: string, handler: Handler): Promise<void> {
    const loop = transport.consumer(topic, {
      group: this.#group,
      partitions: this.#settings.partitions ?? 1,
      codec: 'bytes',
      concurrency: 500,
      retry: { attempts: 1 },
      replies: this.#settings.replies ?? false,
    })
    this.#loops.push(loop)
    loop.on('deadLetter', () => {
      this.#deadLetters += 1
    })
    loop.handle(handler)
    void loop.run().catch((error: unknown) => {
      this.#failure ??= { error }
    })
    await loop.init()
  }

  async #until(condition: () => boolean, what: () => string): Promise<void> {
    while (!condition()) {
      if (this.#failure !== undefined) throw this.#failure.error
      const errors = this.#loops.map(({ lastError }) => lastError?.error)
      if (performance.now() > this.#deadline) throw new AggregateError(errors, `waited too long for ${what()}`)
      await delay(POLL_MS)
    }
  }
}

function expectSameForms(before: Seen, after: Seen, what: string): void {
  const flat = ({ forms }: Seen): string[] =>
    [...forms].flatMap(([id, canonical]) => [...canonical].map((form) => `${id} ${form}`))
  expectSame(flat(after), flat(before), what)
}

/** Fails with the shortest difference: a diff of thousands of messages is unreadable. */
function expectSame(actual: readonly string[], wanted: readonly string[], what: string): void {
  const wantedSet = new Set(wanted)
  const actualSet = new Set(actual)
  const shortest = (texts: string[]): string | undefined => texts.toSorted((a, b) => a.length - b.length)[0]
  const unexpected = shortest(actual.filter((form) => !wantedSet.has(form)))
  const missing = shortest(wanted.filter((form) => !actualSet.has(form)))
  expect({ unexpected, missing }, what).toEqual({ unexpected: undefined, missing: undefined })
}
