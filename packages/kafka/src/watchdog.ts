/** Fires when nothing was received for a while: after a broker's restart kafkajs sometimes fails silently. */
export class Watchdog {
  readonly #bark: (silentMs: number) => void
  #limitMs = 0
  #heard = performance.now()
  #timer: NodeJS.Timeout | undefined

  constructor(bark: (silentMs: number) => void) {
    this.#bark = bark
  }

  /** From now on some activity is expected every `limitMs`. */
  expect(limitMs: number): void {
    this.#limitMs = limitMs
    this.alive()
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#look(), Math.max(50, limitMs / 4))
    this.#timer.unref()
  }

  alive(): void {
    this.#heard = performance.now()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const silentMs = performance.now() - this.#heard
    if (silentMs <= this.#limitMs) return
    this.stop()
    this.#bark(Math.round(silentMs))
  }
}
