import { randomUUID } from 'node:crypto'
// A test's fake timers must not hold up what only waits for the event loop.
import { clearTimeout as clearRealTimeout, setImmediate as nextTurn, setTimeout as realTimeout } from 'node:timers'
import {
  type CloseOptions,
  ConsumerLoop,
  type ConsumerSettings,
  type Logger,
  messageOf,
  openPartsOf,
  Producer,
  requireNames,
  StreamError,
  Transport,
} from '@streamswitch/core/driver'
import { adapter } from './adapter.js'
import { forgetBroker, memoryBroker } from './connection.js'
import { type HandlerError, TestLoop } from './test-loop.js'
import { messagesOf, type TestMessage, unfinished } from './test-messages.js'

/** Below the five seconds that test runners give a test, so that the reason is told. */
const DRAIN_MS = 4_000

/** Turns of the event loop in which nothing may happen before all counts as handled. */
const QUIET_TURNS = 3

/** How far the test's clock is moved at a time, in milliseconds: at first, at most, and at most while a handler works. */
const FIRST_STEP_MS = 10
const LONGEST_STEP_MS = 1_000
const BUSY_STEP_MS = 100

/** How long a handler may work by the real clock, in milliseconds, before the test's clock is moved. */
const BUSY_WAIT_MS = 10

const SILENT: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const DRAIN_OPTIONS = ['rethrow', 'timeoutMs']

export interface DrainOptions {
  /** Reject with what a handler threw, as soon as it has. Default: the transport's. */
  readonly rethrow?: boolean
  /** Longest wait, in milliseconds of the real clock. Default: the transport's. */
  readonly timeoutMs?: number
}

/** Options of {@link testTransport}. */
export interface TestTransportOptions extends DrainOptions {
  /**
   * Moves the test's clock on, for tests with fake timers: `(ms) => vi.advanceTimersByTimeAsync(ms)`, or sinon's
   * `(ms) => clock.tickAsync(ms)`. `drain` calls it where only time is missing. Left out: `drain` waits for the real clock.
   */
  readonly advanceClock?: (ms: number) => unknown
  /** Default: nothing is told. */
  readonly logger?: Logger
  /** Options of the memory transport. */
  readonly options?: Readonly<Record<string, unknown>>
}

/**
 * A memory transport for a test of a service: a broker of its own, which goes with it, and the means to wait until everything is
 * handled and to look at what was sent. Everything else is as on any transport: groups, partitions, retries, dead letters.
 */
export function testTransport(options: TestTransportOptions = {}): TestTransport {
  return new TestTransport(options)
}

/** See {@link testTransport}. */
export class TestTransport extends Transport {
  readonly #name: string
  readonly #settings: TestTransportOptions
  readonly #errors: HandlerError[] = []
  #rethrown = 0

  constructor(settings: TestTransportOptions = {}) {
    requireNames(settings, [...DRAIN_OPTIONS, 'advanceClock', 'logger', 'options'], {
      subject: 'the test transport',
      transport: 'memory',
    })
    const name = `test-${randomUUID()}`
    super(adapter, `memory://${name}`, {
      environment: {},
      logger: settings.logger ?? SILENT,
      options: { ...settings.options, name },
    })
    this.#name = name
    this.#settings = settings
  }

  /** What handlers threw so far, attempt by attempt. */
  get handlerErrors(): readonly HandlerError[] {
    return this.#errors
  }

  /** A loop whose handler errors `drain` may throw. */
  override consumer<T = unknown>(topic: string | readonly string[], options: ConsumerSettings<T>): ConsumerLoop<T> {
    const observer = { handlerFailed: (failure: HandlerError) => void this.#errors.push(failure) }
    return new TestLoop<T>(observer, topic, { ...options, transport: this })
  }

  /**
   * Resolves when everything that was sent has been handled, in every group that exists: retries and dead letters are over, and so
   * is what handlers sent onwards. Loops that were started have joined first.
   *
   * Rejects with a handler's error where `rethrow` is set, the first that no `drain` has thrown yet; with TIMEOUT after `timeoutMs`
   * (default 4,000), naming the groups that have not finished.
   */
  async drain(options: DrainOptions = {}): Promise<void> {
    requireNames(options, DRAIN_OPTIONS, {
      subject: 'drain of the test transport',
      transport: 'memory',
      operation: 'drain',
    })
    const { rethrow = false, timeoutMs = DRAIN_MS } = { ...this.#settings, ...options }
    let isLate = false
    const deadline = realTimeout(() => {
      isLate = true
    }, timeoutMs)
    try {
      let quiet = 0
      let step = FIRST_STEP_MS
      while (quiet < QUIET_TURNS) {
        if (rethrow) this.#throwFirst()
        const before = this.#progress()
        await this.#oneTurn()
        quiet = this.#isQuiet() ? quiet + 1 : 0
        if (isLate) throw this.#late(timeoutMs)
        if (quiet > 0 || this.#progress() !== before) step = FIRST_STEP_MS
        else step = await this.#passTime(step)
      }
      if (rethrow) this.#throwFirst()
    } finally {
      clearRealTimeout(deadline)
    }
  }

  /** What a topic keeps: everything that was sent to it, whether it was handled or not. Decoded as JSON, unless told otherwise. */
  messages<T = unknown>(topic: string, decode: (bytes: Buffer) => unknown = fromJson): TestMessage<T>[] {
    return this.#messagesOf(this.topicSpec(topic).brokerTopic, decode)
  }

  /** The dead letters of a group. What went wrong stands in their headers, under `DEAD_LETTER_HEADERS`. */
  deadLetterMessages<T = unknown>(
    topic: string,
    group: string,
    decode: (bytes: Buffer) => unknown = fromJson,
  ): TestMessage<T>[] {
    return this.#messagesOf(this.deadLetterSpec(topic, group).brokerTopic, decode)
  }

  #messagesOf<T>(brokerTopic: string, decode: (bytes: Buffer) => unknown): TestMessage<T>[] {
    return messagesOf<T>(memoryBroker(this.#name).topic(brokerTopic), decode)
  }

  /** Closes loops and producers, as every transport does, and lets the broker go. */
  override async close(options: CloseOptions = {}): Promise<void> {
    await super.close(options)
    forgetBroker(this.#name)
  }

  get #loops(): readonly ConsumerLoop[] {
    return openPartsOf(this).filter((part) => part instanceof ConsumerLoop)
  }

  get #producers(): readonly Producer[] {
    return openPartsOf(this).filter((part) => part instanceof Producer)
  }

  /** Lets loops join, sends go out, and whatever is due happen. */
  async #oneTurn(): Promise<void> {
    for (const loop of this.#loops) if (loop instanceof TestLoop) await loop.joined
    await new Promise<void>((resolve) => nextTurn(resolve))
  }

  /** Nothing is on its way: no send, no handler, no ack, no message that a group has not finished. */
  #isQuiet(): boolean {
    for (const producer of this.#producers) if (producer.stats().buffered > 0) return false
    for (const loop of this.#loops) {
      const { running, unsettled } = loop.stats()
      if (running > 0 || unsettled > 0) return false
    }
    return unfinished(memoryBroker(this.#name)).length === 0
  }

  /** A number that changes whenever something happens. */
  #progress(): number {
    let sum = 0
    for (const producer of this.#producers) sum += producer.stats().accepted + producer.stats().failed
    for (const loop of this.#loops) {
      const { received, handled, retried, deadLettered, acked, running } = loop.stats()
      sum += received + handled + retried + deadLettered + acked + running / 1_000
    }
    return sum
  }

  /** Only time is missing: a retry waits, or a handler works. Returns how far to go next time. */
  async #passTime(step: number): Promise<number> {
    const { advanceClock } = this.#settings
    const isBusy = this.#loops.some((loop) => loop.stats().running > 0)
    if (isBusy || advanceClock === undefined)
      await new Promise<void>((resolve) => realTimeout(resolve, advanceClock === undefined ? 1 : BUSY_WAIT_MS))
    await advanceClock?.(isBusy ? Math.min(step, BUSY_STEP_MS) : step)
    return Math.min(step * 2, LONGEST_STEP_MS)
  }

  #throwFirst(): void {
    const failure = this.#errors[this.#rethrown]
    if (failure === undefined) return
    this.#rethrown = this.#errors.length
    throw failure.error
  }

  #late(timeoutMs: number): StreamError {
    const last = this.#errors.at(-1)
    const reason = last === undefined ? '' : `; the last handler error: ${messageOf(last.error)}`
    const rest = unfinished(memoryBroker(this.#name)).join('; ') || 'sends or handlers are still at work'
    return new StreamError(`not everything was handled within ${timeoutMs} ms: ${rest}${reason}`, {
      code: 'TIMEOUT',
      transport: 'memory',
      operation: 'drain',
    })
  }
}

function fromJson(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString('utf8'))
}
