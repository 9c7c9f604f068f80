import { atMost } from '../at-most.js'
import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import { messageOf, toStreamError } from '../errors.js'
import { environmentText } from '../host-address.js'
import { type Logger, printableLogger } from '../logger.js'
import { timeoutFields, withOptions } from '../options/call-options.js'
import { readOptions } from '../options/resolve.js'
import { healthOf, type RunnerHealth, type RunnerState } from './health.js'
import { HealthServer } from './health-server.js'
import type { RunnerPart } from './parts.js'
import {
  addFields,
  chosenNames,
  type HookName,
  healthFields,
  type RunnerOptions,
  type RunnerOptionValues,
  type RunOptions,
  readRunnerOptions,
  runFields,
  runnerError,
} from './runner-options.js'
import { RunnerParts } from './runner-parts.js'
import type { RunningLoop } from './running-loop.js'
import { Shutdown } from './shutdown.js'
import { StopSignals } from './stop-signals.js'

/**
 * Runs the loops of an application: starts them together, keeps the process alive until it is stopped, and shuts down
 * cleanly, in order: intake, running handlers, acks, flushes of listeners, producers, transports.
 */
export class ConsumerRunner implements AsyncDisposable {
  readonly #options: RunnerOptionValues
  readonly #environment: NodeJS.ProcessEnv
  readonly #logger: Logger
  readonly #parts: RunnerParts
  readonly #failures: unknown[] = []
  readonly #stopRequested = new AbortController()
  readonly #hurry = new AbortController()
  readonly #health: HealthServer | undefined
  #state: RunnerState = 'idle'
  #started: Promise<void> | undefined
  #ended: Promise<void> | undefined
  #timeoutMs: number

  /**
   * @param parts - loops, plain or as `{ name, loop }`; factories; routers; and producers and transports, which are
   *   only closed at the end. A loop's default name is its queue's, or its topic or pattern.
   * Throws INVALID_ARGUMENT for a bad option or part, CONFLICT when two loops have the same name.
   */
  constructor(parts: readonly RunnerPart[] = [], options: RunnerOptions = {}) {
    this.#options = readRunnerOptions(options)
    this.#environment = options.environment ?? process.env
    this.#logger = printableLogger(options.logger)
    this.#timeoutMs = this.#options.timeoutMs
    const { transport, group } = options
    this.#parts = new RunnerParts({ transport, group, environment: this.#environment, logger: options.logger })
    const { health } = this.#options
    if (health !== undefined) {
      const host = health.host ?? environmentText(this.#environment, 'STREAMSWITCH_HEALTH_HOST')
      const placed = host === undefined ? health : { ...health, host }
      this.#health = new HealthServer(placed, (lag) => this.health({ lag }))
    }
    for (const part of parts) this.#parts.take(part)
  }

  /** `idle` before `run`, then `starting`, `running`, `stopping`, and `stopped` or `failed`. */
  get state(): RunnerState {
    return this.#state
  }

  /** The address of the health endpoint; `undefined` while it doesn't listen. */
  get healthAddress(): { readonly host: string; readonly port: number } | undefined {
    return this.#health?.address
  }

  /**
   * Starts every loop, or those chosen by name. All loops connect and join before the first one handles a message, so
   * that a failed start leaves nothing half-running. Then runs until `stop`, a process signal, or the end of its loops.
   * Resolves after a clean stop. Rejects, once everything is closed, with the error that made a start fail; with the
   * error of a loop that failed by its `errorPolicy` or of a hook (an AggregateError if there are several); with
   * TIMEOUT when handlers or brokers exceeded `timeoutMs`; with ABORTED after a second signal. Rejects with
   * INVALID_ARGUMENT for an unknown name or a loop without a handler, CONFLICT while it runs, CLOSED afterwards.
   */
  async run(options: RunOptions = {}): Promise<void> {
    const { only, signal } = readOptions(runFields, options, callOf('run'))
    if (this.#state === 'stopped' || this.#state === 'failed')
      throw runnerError('CLOSED', 'run() was already called, and the runner has ended')
    if (this.#ended !== undefined) throw runnerError('CONFLICT', 'run() was already called')
    this.#parts.choose(chosenNames(only, this.#environment))
    const stop = (): void => this.#requestStop()
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted === true) stop()
    this.#ended = this.#run().finally(() => signal?.removeEventListener('abort', stop))
    await this.#ended
  }

  /**
   * Stops cleanly within `timeoutMs` (default: the option's). Resolves when everything is closed; `run` settles with
   * the outcome. Idempotent. Before `run` it closes all parts.
   */
  async stop(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const { timeoutMs } = readOptions(timeoutFields, options, callOf('stop'))
    if (timeoutMs !== undefined && this.#state !== 'stopping') this.#timeoutMs = timeoutMs
    this.#requestStop()
    this.#ended ??= this.#shutDown()
    await this.#ended.catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /**
   * Adds a part. If the runner is running, its loops are started immediately: resolves when they handle messages;
   * rejects with the error that made the start fail, and the loop is closed then. Rejects with CONFLICT for a name that
   * is in use, CLOSED once the runner stops.
   */
  async add(part: RunnerPart, options: { readonly name?: string } = {}): Promise<void> {
    const { name } = readOptions(addFields, options, callOf('add'))
    // The start and the stop act on the same set of loops.
    if (this.#state === 'starting') await this.#started?.catch(() => {})
    if (this.#state !== 'idle' && this.#state !== 'running')
      throw runnerError('CLOSED', 'the runner is stopping or has stopped')
    const added = this.#parts.take(part, name)
    if (this.#state === 'idle') return
    try {
      await this.#start(added)
    } catch (error) {
      await Promise.all(added.map((one) => this.remove(one.loop)))
      throw error
    }
  }

  /**
   * Closes a loop cleanly and removes it; the runner continues, also without any loop. Rejects with NOT_FOUND for a
   * loop that it doesn't have.
   */
  async remove(loop: string | ConsumerLoop, options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const { timeoutMs = this.#timeoutMs } = readOptions(timeoutFields, options, callOf('remove'))
    const found = this.#parts.drop(loop)
    await found.close({ timeoutMs, signal: this.#hurry.signal })
  }

  /**
   * Returns the state of every loop and producer. Queries the brokers for the lag, for up to a second, unless `lag` is
   * false.
   */
  health(options: { readonly lag?: boolean } = {}): Promise<RunnerHealth> {
    return withOptions(healthFields, options, callOf('health'), ({ lag }) => healthOf(this.#state, this.#parts, lag))
  }

  async #run(): Promise<void> {
    this.#state = 'starting'
    const signals = new StopSignals(this.#options.signals, {
      first: (signal) => {
        this.#logger.info(`the runner: stopping on ${signal}`)
        this.#requestStop()
      },
      again: (signal) => this.#hurryUp(signal),
    })
    // Signal listeners alone keep no process alive.
    const keepAlive = setInterval(() => {}, 1_000_000)
    try {
      this.#started = this.#startUp()
      this.#started.catch((error: unknown) => this.#failed(error))
      // The stop doesn't wait for a running start: one of its hooks may wait for the stop.
      await aborted(this.#stopRequested.signal)
      await this.#shutDown()
    } finally {
      clearInterval(keepAlive)
      signals.release()
    }
    const [failure, ...others] = this.#failures
    if (failure === undefined) return
    throw others.length === 0
      ? failure
      : new AggregateError(this.#failures, `the runner: ${this.#failures.length} failures`)
  }

  async #startUp(): Promise<void> {
    await this.#health?.listen()
    await this.#hook('onStartup')
    await this.#start(this.#parts.chosen)
    if (this.#stopRequested.signal.aborted) return
    this.#state = 'running'
    await this.#hook('afterStartup')
  }

  /** Joins with all loops, then lets all handle messages. A stop in between isn't a failure. */
  async #start(loops: readonly RunningLoop[]): Promise<void> {
    const { signal } = this.#stopRequested
    const silent = loops.find((one) => !one.loop.hasHandler)
    if (silent !== undefined)
      throw runnerError(
        'INVALID_ARGUMENT',
        `loop '${silent.name}' has no handler; call handle(async (message) => …) first`,
      )
    try {
      await Promise.all(loops.map((one) => one.init(signal)))
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    if (signal.aborted) return
    for (const one of loops) one.start((error) => this.#loopEnded(one, error))
  }

  #loopEnded(one: RunningLoop, error: unknown): void {
    const { errorPolicy, name } = one
    if (error !== undefined) {
      this.#logger.error(`the runner: loop '${name}' ended: ${messageOf(error)}`)
      this.#failures.push(error)
      if (errorPolicy === 'stop-application') this.#endApplication()
      if (errorPolicy === 'stop-runner' || errorPolicy === 'stop-application') this.#requestStop()
    }
    // A runner whose loops have all ended has nothing left to do; one whose loops were removed waits for new ones.
    if (this.#parts.has(one) && !this.#parts.loops.some((other) => other.isActive)) this.#requestStop()
  }

  /**
   * Stops everything else in this process as an orchestrator would, by SIGTERM; if nothing listens to it, the process
   * ends afterwards.
   */
  #endApplication(): void {
    process.exitCode = 1
    StopSignals.raise()
    const graceMs = this.#timeoutMs + 1_000
    setTimeout(() => process.exit(), graceMs).unref()
  }

  async #shutDown(): Promise<void> {
    const isUnused = this.#state === 'idle'
    this.#state = 'stopping'
    const shutdown = new Shutdown(this.#timeoutMs, this.#hurry.signal)
    if (!isUnused) await shutdown.within(this.#hook('onStop').catch((error: unknown) => this.#failed(error)))
    const closed = await shutdown.close(this.#parts.loops, this.#parts.closedLast)
    this.#failures.push(...closed)
    await this.#health?.close()
    this.#state = this.#failures.length === 0 ? 'stopped' : 'failed'
    if (!isUnused)
      await atMost(
        this.#hook('afterStop').catch((error: unknown) => this.#failed(error)),
        this.#timeoutMs,
      )
  }

  #failed(error: unknown): void {
    this.#failures.push(error)
    if (this.#state === 'stopped') this.#state = 'failed'
    this.#requestStop()
  }

  #requestStop(): void {
    this.#stopRequested.abort()
  }

  #hurryUp(signal: string): void {
    if (this.#hurry.signal.aborted) return
    this.#logger.warn(`the runner: received a second ${signal}, forcing shutdown`)
    this.#failures.push(runnerError('ABORTED', `a second ${signal} arrived before everything was closed`))
    this.#hurry.abort()
  }

  async #hook(name: HookName): Promise<void> {
    try {
      await this.#options[name]?.(this)
    } catch (error) {
      this.#logger.error(`the runner: ${name} failed: ${messageOf(error)}`)
      throw toStreamError(error, { code: 'UNKNOWN', retryable: false, operation: name })
    }
  }
}

function callOf(operation: string) {
  return { subject: `${operation} of the runner`, operation }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
