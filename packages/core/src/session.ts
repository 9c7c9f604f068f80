import { type Backoff, backoffDelayMs } from './backoff.js'
import { StreamError, toStreamError } from './errors.js'
import type { Logger } from './logger.js'
import { Repetition } from './repetition.js'
import { deadlineSignal, everyInStep, wait } from './time.js'

interface SessionDriver<Ready> {
  /** What `open` currently waits for. */
  readonly waitingFor?: string | undefined
  open(signal: AbortSignal): Promise<Ready>
  probe?(): Promise<void>
  close(): Promise<void>
}

/**
 * A driver that was open for this long has worked, in milliseconds: its end is reported as new, and the backoff is
 * reset.
 */
const LASTING_MS = 10_000

export interface SessionSettings<Driver extends SessionDriver<Ready>, Ready> {
  /** Begins log lines and errors: `producer orders on redis`. */
  readonly subject: string
  readonly transport: string
  readonly topic: string
  readonly backoff: Backoff
  /** Maximum time for the first connection, including retries. */
  readonly connectTimeoutMs: number
  /** How often an open driver is probed, and how long a probe may take; 0 disables. */
  readonly probeIntervalMs: number
  readonly logger: Logger
  create(lost: (error: unknown) => void): Driver
  classify(error: unknown): StreamError
  ready(driver: Driver, ready: Ready, again: boolean): void
  /** The open driver was lost; a fresh one is being opened. Resolves when nothing uses the old one any more. */
  lost(error: StreamError): Promise<void>
}

/**
 * Keeps one driver open: the only owner of reconnecting. Drivers are disposable; a lost one is closed and replaced
 * after a backoff, for the lifetime of the session. Only the first connection has a time limit.
 */
export class Session<Driver extends SessionDriver<Ready>, Ready> {
  readonly #settings: SessionSettings<Driver, Ready>
  readonly #closing = new AbortController()
  #driver: Driver | undefined
  #started: Promise<void> | undefined
  #reconnecting: Promise<void> | undefined
  #endProbes: () => void = () => {}
  #reconnects = 0
  #openedAt = 0
  #lastFailure: StreamError | undefined
  /** What the last failed attempt was waiting for. */
  #waitedFor: string | undefined
  /** Consecutive attempts of which none has opened a driver that lasted. */
  #tries = 0
  readonly #failing = new Repetition()

  constructor(settings: SessionSettings<Driver, Ready>) {
    this.#settings = settings
  }

  /** The open driver, or `undefined` while there is none. */
  get driver(): Driver | undefined {
    return this.#driver
  }

  get reconnects(): number {
    return this.#reconnects
  }

  /** Why the last attempt to connect failed; `undefined` while a driver is open. */
  get lastFailure(): StreamError | undefined {
    return this.#driver === undefined ? this.#lastFailure : undefined
  }

  /** Opens the first driver. Concurrent calls share its promise; after a failure the next call tries again. */
  start(): Promise<void> {
    this.#started ??= this.#connectFirst().catch((error: unknown) => {
      this.#started = undefined
      throw error
    })
    return this.#started
  }

  /** Stops reconnecting and closes the driver. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#endProbes()
    await this.#started?.catch(() => {})
    await this.#reconnecting
    const driver = this.#driver
    this.#driver = undefined
    await driver?.close()
  }

  async #connectFirst(): Promise<void> {
    const settings = this.#settings
    const deadline = deadlineSignal(settings.connectTimeoutMs)
    let last: StreamError | undefined
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#open(AbortSignal.any([deadline, this.#closing.signal]), false)
      } catch (cause) {
        const error = this.#describe(cause, deadline, last)
        last = error
        this.#lastFailure = error
        if (!error.retryable || deadline.aborted || this.#closing.signal.aborted) throw error
        settings.logger.info(`${settings.subject}: not connected yet, trying again: ${error.message}`)
        await wait(backoffDelayMs(settings.backoff, attempt), AbortSignal.any([deadline, this.#closing.signal])).catch(
          () => {},
        )
        if (deadline.aborted || this.#closing.signal.aborted) throw error
      }
    }
  }

  /** @param last - the error of the previous attempt: the reason, if this one was only cut short by the deadline. */
  #describe(cause: unknown, deadline: AbortSignal, last: StreamError | undefined): StreamError {
    const { subject, transport, topic, connectTimeoutMs } = this.#settings
    if (this.#closing.signal.aborted)
      return new StreamError(`${subject} was closed while connecting`, {
        code: 'CLOSED',
        transport,
        topic,
        operation: 'open',
        cause,
      })
    const error = this.#settings.classify(cause)
    if (!deadline.aborted || error.code !== 'ABORTED') return error
    const waited = this.#waitedFor === undefined ? '' : `; it was still waiting for ${this.#waitedFor}`
    const reason = last === undefined ? '' : `; the last attempt failed: ${last.message}`
    return new StreamError(
      `${subject} was not ready within ${connectTimeoutMs} ms (connectTimeoutMs)${waited}${reason}`,
      {
        code: last?.code === 'RESOURCE_EXHAUSTED' ? last.code : 'UNAVAILABLE',
        retryable: true,
        transport,
        topic,
        operation: 'open',
        cause: last ?? cause,
      },
    )
  }

  async #open(signal: AbortSignal, again: boolean): Promise<void> {
    let gone: { readonly error: unknown } | undefined
    const driver = this.#settings.create((error) => {
      if (gone !== undefined) return
      gone = { error }
      if (this.#driver === driver) this.#lose(driver, error)
    })
    try {
      const ready = await withSignal(driver.open(signal), signal)
      if (gone !== undefined) throw gone.error
      signal.throwIfAborted()
      this.#driver = driver
      this.#settings.ready(driver, ready, again)
    } catch (error) {
      this.#driver = undefined
      this.#waitedFor = driver.waitingFor
      await driver.close()
      throw error
    }
    this.#openedAt = performance.now()
    this.#watch(driver)
  }

  #lose(driver: Driver, cause: unknown): void {
    if (this.#driver !== driver || this.#closing.signal.aborted) return
    this.#driver = undefined
    this.#endProbes()
    if (performance.now() - this.#openedAt > LASTING_MS) this.#tries = 0
    const error = this.#settings.classify(cause)
    this.#settings.logger.warn(`${this.#settings.subject}: connection lost, reconnecting: ${error.message}`)
    this.#reconnecting = this.#replace(driver, error)
  }

  async #replace(driver: Driver, error: StreamError): Promise<void> {
    await this.#settings.lost(error)
    await driver.close()
    for (let attempt = 1; !this.#closing.signal.aborted; attempt += 1) {
      this.#tries += 1
      await wait(backoffDelayMs(this.#settings.backoff, this.#tries), this.#closing.signal).catch(() => {})
      if (this.#closing.signal.aborted) return
      try {
        await this.#open(AbortSignal.any([deadlineSignal(this.#settings.connectTimeoutMs), this.#closing.signal]), true)
        this.#reconnects += 1
        this.#settings.logger.info(`${this.#settings.subject}: connected again`)
        return
      } catch (cause) {
        const failure = this.#settings.classify(cause)
        this.#lastFailure = failure
        if (this.#closing.signal.aborted) continue
        const line = `${this.#settings.subject}: reconnecting failed (${attempt}): ${failure.message}`
        if (this.#failing.isDue(failure.code)) this.#settings.logger.warn(line)
        else this.#settings.logger.debug(line)
      }
    }
  }

  /** Ends the current driver because core found it dead: a call that never settled, a probe without an answer. */
  abandon(driver: Driver, error: StreamError): void {
    this.#lose(driver, error)
  }

  #watch(driver: Driver): void {
    const { probeIntervalMs, transport, topic, subject } = this.#settings
    if (driver.probe === undefined || probeIntervalMs === 0) return
    let waiting = false
    this.#endProbes = everyInStep(probeIntervalMs, () => {
      if (waiting) {
        const message = `${subject}: health check timed out after ${probeIntervalMs} ms (probeIntervalMs)`
        return this.#lose(
          driver,
          new StreamError(message, { code: 'UNAVAILABLE', transport, topic, operation: 'probe' }),
        )
      }
      waiting = true
      Promise.resolve(driver.probe?.()).then(
        () => {
          waiting = false
        },
        (error: unknown) => this.#lose(driver, error),
      )
    })
  }
}

/** Settles as the promise does, or rejects when the signal aborts first. A later outcome of the promise is ignored. */
export function withSignal<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(abortError(signal))
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}

/** Returns the error of a call that its signal aborted. */
export function abortError(signal: AbortSignal): StreamError {
  return toStreamError(signal.reason, { code: 'ABORTED', retryable: false })
}
