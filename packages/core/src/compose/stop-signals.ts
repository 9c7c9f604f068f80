interface SignalListener {
  first(signal: NodeJS.Signals): void
  again(signal: NodeJS.Signals): void
}

/** How many signals this process has sent itself and not heard yet: they tell others to stop, and are no second signal. */
let raised = 0

/** Listens to the signals that stop a process, until released. Those that come after the first are told as such. */
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

  /** The signals do again what they did before. */
  release(): void {
    for (const name of this.#names) process.off(name, this.#listen)
  }

  /** Sends this process SIGTERM where somebody listens to it, so that every part of it stops; without a listener it would end at once. */
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
