import type { ConsumerLoop } from '../consumer/consumer-loop.js'
import type { ErrorPolicy } from '../consumer/failures.js'
import type { LastError } from '../events.js'

/** State of one loop of a runner. */
export type LoopState = 'idle' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

/** One loop of a runner. */
export class RunningLoop {
  readonly name: string
  readonly loop: ConsumerLoop
  #state: LoopState = 'idle'
  #failure: LastError | undefined

  constructor(name: string, loop: ConsumerLoop) {
    this.name = name
    this.loop = loop
  }

  /** failed` as soon as the loop has failed, even before its end is awaited. */
  get state(): LoopState {
    return this.loop.failure === undefined ? this.#state : 'failed'
  }

  get errorPolicy(): ErrorPolicy {
    return this.loop.errorPolicy
  }

  /** The error that ended it, else the last error. */
  get lastError(): LastError | undefined {
    return this.#failure ?? this.loop.lastError
  }

  /** True when it has been started and has not ended. */
  get isActive(): boolean {
    return this.state === 'starting' || this.state === 'running' || this.state === 'stopping'
  }

  /** Connects and joins; nothing is handled yet. */
  async init(signal: AbortSignal): Promise<void> {
    this.#state = 'starting'
    try {
      await this.loop.init({ signal })
    } catch (error) {
      this.#fail(error)
      throw error
    }
  }

  /** Handles messages until the loop ends, and reports its outcome. */
  start(ended: (error: unknown) => void): void {
    this.#state = 'running'
    this.loop.run().then(
      () => {
        this.#state = 'stopped'
        ended(undefined)
      },
      (error: unknown) => {
        this.#fail(error)
        ended(error)
      },
    )
  }

  async close(options: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<void> {
    if (this.isActive) this.#state = 'stopping'
    await this.loop.close(options)
    if (this.state !== 'failed') this.#state = 'stopped'
  }

  #fail(error: unknown): void {
    this.#state = 'failed'
    this.#failure = { error, at: Date.now() }
  }
}
