import { describe, messageOf } from './errors.js'
import type { Logger } from './logger.js'

type Listener<Payload> = (payload: Payload) => void

/** The last error, and when it happened, in milliseconds since the epoch. */
export interface LastError {
  readonly error: unknown
  readonly at: number
}

/**
 * Typed events. An exception in a listener is logged and affects nothing else; an `error` event without a listener is
 * logged and never ends the process.
 */
export class Events<Map extends object> {
  readonly #listeners = new globalThis.Map<keyof Map, Set<Listener<never>>>()
  readonly #logger: Logger
  readonly #source: string
  /** Of the events `error` and `reconnecting`. */
  lastError: LastError | undefined

  /** @param source - prefix of log lines: `consumer orders/billing`. */
  constructor(logger: Logger, source: string) {
    this.#logger = logger
    this.#source = source
  }

  on<Name extends keyof Map>(name: Name, listener: Listener<Map[Name]>): void {
    const set = this.#listeners.get(name) ?? new Set()
    set.add(listener)
    this.#listeners.set(name, set)
  }

  off<Name extends keyof Map>(name: Name, listener: Listener<Map[Name]>): void {
    this.#listeners.get(name)?.delete(listener)
  }

  emit<Name extends keyof Map>(name: Name, payload: Map[Name]): void {
    if (name === 'error') this.lastError = { error: payload, at: Date.now() }
    else if (name === 'reconnecting') this.lastError = { error: (payload as { error: unknown }).error, at: Date.now() }
    const set = this.#listeners.get(name)
    if (set === undefined || set.size === 0) {
      if (name === 'error') this.#logger.error(`${this.#source}: ${messageOf(payload)}`)
      return
    }
    for (const listener of [...set]) {
      try {
        ;(listener as Listener<Map[Name]>)(payload)
      } catch (error) {
        this.#logger.error(`${this.#source}: a listener of '${String(name)}' threw: ${describe(error)}`)
      }
    }
  }
}
