interface SignalListener {
  first(signal: NodeJS.Signals): void
  again(signal: NodeJS.Signals): void
}

/**
 * How many signals this process has sent itself and not yet received: they stop other listeners and don't count as a
 * second signal.
 */
let raised = 0

/** Listens to the signals that stop a process, until released. Signals after the first are reported as repeated. */
export class StopSignals {
  readonly #names: readonly NodeJS.Signals[]
  readonly #listen: (signal: NodeJS.Signals) => void

  constructor(names: readonly NodeJS.Signals[], listener: SignalListener) {
    this.#names = names
    let isStopping = false
    this.#listen = (signal) => {
      if (isStopping && raised === 0) return listener.again(signal)
      if (isStopping) return
      isStopping = true
      listener.first(signal)
    }
    for (const name of names) process.on(name, this.#listen)
  }

  /** Restores the previous effect of the signals. */
  release(): void {
    for (const name of this.#names) process.off(name, this.#listen)
  }

  /**
   * Sends this process SIGTERM if there is a listener for it, so that every part of it stops; without a listener the
   * process would end immediately.
   */
  static raise(): void {
    if (process.listenerCount('SIGTERM') === 0) return
    raised += 1
    process.once('SIGTERM', () =>
      setImmediate(() => {
        raised -= 1
      }),
    )
    process.kill(process.pid, 'SIGTERM')
  }
}
