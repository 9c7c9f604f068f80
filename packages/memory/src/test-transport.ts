import { randomUUID } from 'node:crypto'
// A test's fake timers must not block what only waits for the event loop.
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

/** Below the five seconds that test runners allow a test, so that the reason is reported. */
const DRAIN_MS = 4_000

/** Number of idle turns of the event loop before everything counts as handled. */
const QUIET_TURNS = 3

/**
 * Steps by which the test's clock is advanced, in milliseconds: the first, the maximum, and the maximum while a handler
 * runs.
 */
const FIRST_STEP_MS = 10
const LONGEST_STEP_MS = 1_000
const BUSY_STEP_MS = 100

/** How long a handler may run by the real clock, in milliseconds, before the test's clock is advanced. */
const BUSY_WAIT_MS = 10

const SILENT: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

const DRAIN_OPTIONS = ['rethrow', 'timeoutMs']

export interface DrainOptions {
  /** Reject with a handler's error as soon as it is thrown. Default: the transport's. */
  readonly rethrow?: boolean
  /** Maximum wait, in milliseconds of the real clock. Default: the transport's. */
  readonly timeoutMs?: number
}

/** Options of {@link testTransport}. */
export interface TestTransportOptions extends DrainOptions {
  /**
   * Advances the test's clock, for tests with fake timers: `(ms) => vi.advanceTimersByTimeAsync(ms)`, or sinon's `(ms)
   * => clock.tickAsync(ms)`. `drain` calls it when only time is missing. Default: `drain` waits for the real clock.
   */
  readonly advanceClock?: (ms: number) => unknown
  /** Default: nothing is logged. */
  readonly logger?: Logger
  /** Options of the memory transport. */
  readonly options?: Readonly<Record<string, unknown>>
}

/**
 * Opens a memory transport for a test of a service: with its own broker, which is removed with it, `drain()` to wait
 * until everything is handled, and access to sent messages. Everything else works as on any transport: groups,
 * partitions, retries, dead letters.
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

  /** What handlers have thrown so far, attempt by attempt. */
  get handlerErrors(): readonly HandlerError[] {
    return this.#errors
  }

  /** Creates a loop whose handler errors `drain` may throw. */
  override consumer<T = unknown>(topic: string | readonly string[], options: ConsumerSettings<T>): ConsumerLoop<T> {
    const observer = { handlerFailed: (failure: HandlerError) => void this.#errors.push(failure) }
    return new TestLoop<T>(observer, topic, { ...options, transport: this })
  }

  /**
   * Resolves when everything that was sent has been handled, in every group that exists, including retries, dead
   * letters and what handlers forwarded. Loops that were started have joined first.
   * Rejects with a handler's error if `rethrow` is set, the first that no `drain` has thrown yet; with TIMEOUT after
   * `timeoutMs` (default 4,000), naming the groups that have not finished.
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

  /** Returns everything that was sent to a topic, whether it was handled or not. Decoded as JSON by default. */
  messages<T = unknown>(topic: string, decode: (bytes: Buffer) => unknown = fromJson): TestMessage<T>[] {
    return this.#messagesOf(this.topicSpec(topic).brokerTopic, decode)
  }

  /** Returns the dead letters of a group. Their headers describe the error, under `DEAD_LETTER_HEADERS`. */
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

  /** Closes loops and producers, as every transport does, and removes the broker. */
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

  /** Lets loops join, sends complete, and due work happen. */
  async #oneTurn(): Promise<void> {
    for (const loop of this.#loops) if (loop instanceof TestLoop) await loop.joined
    await new Promise<void>((resolve) => nextTurn(resolve))
  }

  /** True when nothing is in flight: no send, no handler, no ack, no message that a group has not finished. */
  #isQuiet(): boolean {
    for (const producer of this.#producers) if (producer.stats().buffered > 0) return false
    for (const loop of this.#loops) {
      const { running, unsettled } = loop.stats()
      if (running > 0 || unsettled > 0) return false
    }
    return unfinished(memoryBroker(this.#name)).length === 0
  }

  /** Returns a number that changes whenever something happens. */
  #progress(): number {
    let sum = 0
    for (const producer of this.#producers) sum += producer.stats().accepted + producer.stats().failed
    for (const loop of this.#loops) {
      const { received, handled, retried, deadLettered, acked, running } = loop.stats()
      sum += received + handled + retried + deadLettered + acked + running / 1_000
    }
    return sum
  }

  /** Only time is missing: a retry waits, or a handler runs. Returns the next step. */
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
    const rest = unfinished(memoryBroker(this.#name)).join('; ') || 'sends or handlers are still running'
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
