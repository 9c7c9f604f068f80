import { everyInStep } from '@streamswitch/core/driver'

/** Nothing was said for this share of an interval: a heartbeat goes out. Looked at in each quarter, so that one is sent within each interval. */
const SILENT = 0.6
const LOOKS = 4

/**
 * Finds dead peers. Replaces the library's, whose own sending resets its idle count, so that a frozen broker is never noticed,
 * and whose loop may end for good in an outage.
 */
export class Heartbeat {
  readonly #send: () => void
  readonly #dead: (silentMs: number) => void
  #end: () => void = () => {}
  #received = performance.now()
  #sent = performance.now()

  /** @param send - writes a heartbeat frame. @param dead - nothing was heard for two intervals. */
  constructor(send: () => void, dead: (silentMs: number) => void) {
    this.#send = send
    this.#dead = dead
  }

  /** @param intervalMs - as negotiated; 0: off. */
  start(intervalMs: number): void {
    if (intervalMs <= 0) return
    this.#received = performance.now()
    this.#end = everyInStep(intervalMs / LOOKS, () => this.#beat(intervalMs))
  }

  stop(): void {
    this.#end()
  }

  heard(): void {
    this.#received = performance.now()
  }

  said(): void {
    this.#sent = performance.now()
  }

  #beat(intervalMs: number): void {
    const now = performance.now()
    if (now - this.#received > 2 * intervalMs) return this.#dead(now - this.#received)
    if (now - this.#sent < intervalMs * SILENT) return
    this.#send()
    this.#sent = now
  }
}
