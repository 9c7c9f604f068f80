/**
 * Finds dead peers. Replaces the library's, whose own sending resets its idle count, so that a frozen broker is never noticed,
 * and whose loop may end for good in an outage.
 */
export class Heartbeat {
  readonly #send: () => void
  readonly #dead: (silentMs: number) => void
  #timer: NodeJS.Timeout | undefined
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
    this.#timer = setInterval(() => this.#beat(intervalMs), intervalMs / 2)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
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
    if (now - this.#sent < intervalMs / 2) return
    this.#send()
    this.#sent = now
  }
}
