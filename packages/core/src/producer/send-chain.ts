import { AsyncLocalStorage } from 'node:async_hooks'
import { atMost } from '../at-most.js'
import { type ErrorCode, StreamError, toStreamError } from '../errors.js'
import { abortError } from '../session.js'
import type { SendReceipt } from './pending-record.js'
import type { SendOptions } from './producer-options.js'
import type { OutgoingMessage, SendMiddleware } from './send-middleware.js'

export interface SendChainSettings {
  readonly middleware: readonly SendMiddleware[]
  readonly topic: string
  readonly transport: string
  readonly sendTimeoutMs: number
}

/** Sends what the middleware has passed on. Submits before it returns. */
export type Deliver = (value: unknown, options: SendOptions) => Promise<SendReceipt>

/** A send inside the middleware. */
interface Turn {
  /** Resolves when earlier sends have been submitted. */
  before: Promise<void>
  over: boolean
  fail(error: StreamError): void
}

/**
 * How much later than `sendTimeoutMs` a send ends whose middleware blocks it, in milliseconds: the send's own timeout
 * is more informative.
 */
const GRACE_MS = 300

/**
 * Runs sends through the middleware, and submits them in the order of the calls. Created only if there is middleware.
 */
export class SendChain {
  readonly #settings: SendChainSettings
  readonly #open = new Map<Turn, Promise<unknown>>()
  /** Distinguishes a send made by a middleware from an independent one: waiting for its own turn would deadlock. */
  readonly #current = new AsyncLocalStorage<Turn>()
  #last: Promise<void> = Promise.resolve()

  constructor(settings: SendChainSettings) {
    this.#settings = settings
  }

  /** Settles once, as the middleware does; with TIMEOUT, ABORTED or CLOSED when it doesn't in time. */
  send(value: unknown, options: SendOptions = {}, deliverRecord: Deliver): Promise<SendReceipt> {
    const { sendTimeoutMs, topic } = this.#settings
    const { signal, timeoutMs = sendTimeoutMs } = options
    if (signal?.aborted === true) return Promise.reject(abortError(signal))
    const started = performance.now()
    const remaining = (): number => Math.max(1, Math.ceil(timeoutMs - (performance.now() - started)))
    const turn: Turn = { before: Promise.resolve(), over: false, fail: () => {} }
    const pass = this.#enqueue(turn)
    const outcome = new Promise<SendReceipt>((resolve, reject) => {
      turn.fail = reject
      const deadline = setTimeout(
        () => reject(this.#error('TIMEOUT', `its middleware took longer than ${timeoutMs} ms (sendTimeoutMs)`)),
        timeoutMs + GRACE_MS,
      )
      const abort = (): void => reject(abortError(signal as AbortSignal))
      signal?.addEventListener('abort', abort, { once: true })
      const deliver = async (changed: Pick<OutgoingMessage, 'value' | 'options'>): Promise<SendReceipt> => {
        await turn.before
        if (turn.over) throw this.#error('CLOSED', 'the send has already ended')
        const sent = deliverRecord(changed.value, { timeoutMs: remaining(), ...changed.options })
        pass()
        return sent
      }
      const first = this.#link(0, deliver)
      this.#current
        .run(turn, async () => first({ topic, value, options }))
        .then(resolve, (error: unknown) =>
          reject(
            toStreamError(error, { code: 'UNKNOWN', transport: this.#settings.transport, topic, operation: 'send' }),
          ),
        )
        .finally(() => {
          clearTimeout(deadline)
          signal?.removeEventListener('abort', abort)
        })
    })
    const settled = outcome.then(
      () => {},
      () => {},
    )
    this.#open.set(turn, settled)
    void settled.then(() => {
      turn.over = true
      this.#open.delete(turn)
      pass()
    })
    return outcome
  }

  /** Resolves when every send made so far has an outcome. */
  async flush(): Promise<void> {
    await Promise.all(this.#open.values())
  }

  /** As `flush`, for `timeoutMs` at most and until `signal` aborts; remaining sends then reject with CLOSED. */
  async close(timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#open.size === 0) return
    await atMost(this.flush(), timeoutMs, signal)
    for (const turn of this.#open.keys())
      turn.fail(this.#error('CLOSED', 'the producer was closed before its middleware had finished'))
  }

  /** Queues the turn; returns a function that lets the next one proceed. */
  #enqueue(turn: Turn): () => void {
    const outer = this.#current.getStore()
    const nested = outer !== undefined && !outer.over
    turn.before = nested ? outer.before : this.#last
    let passed = (): void => {}
    const own = new Promise<void>((resolve) => {
      passed = resolve
    })
    const after = Promise.all([turn.before, own]).then(() => {})
    if (nested) outer.before = after
    else this.#last = after
    return passed
  }

  #link(
    index: number,
    deliver: (changed: Pick<OutgoingMessage, 'value' | 'options'>) => Promise<SendReceipt>,
  ): (outgoing: OutgoingMessage) => SendReceipt | Promise<SendReceipt> {
    const { middleware, topic } = this.#settings
    const own = middleware[index]
    if (own === undefined) return deliver
    const next = this.#link(index + 1, deliver)
    return (outgoing) => {
      let called = false
      return own(outgoing, async (changed = outgoing) => {
        if (called) throw this.#error('CONFLICT', 'a middleware called next() twice')
        called = true
        return next({ topic, value: changed.value, options: changed.options })
      })
    }
  }

  #error(code: ErrorCode, message: string): StreamError {
    const { topic, transport } = this.#settings
    return new StreamError(`a send to '${topic}': ${message}`, { code, transport, topic, operation: 'send' })
  }
}
