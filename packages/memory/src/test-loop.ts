import { ConsumerLoop, type ConsumerLoopOptions, type Handler, type Listener } from '@streamswitch/core/driver'
import { adapter } from './adapter.js'

/** What a handler threw. */
export interface HandlerError {
  readonly error: unknown
  readonly topic: string
  readonly group: string
  readonly id: string
  readonly attempt: number
}

/** Where a loop under test tells what happens in it. */
export interface TestObserver {
  handlerFailed(failure: HandlerError): void
}

/** A loop of the memory transport that tells its test what its handler threw. */
export class TestLoop<T = unknown> extends ConsumerLoop<T> {
  readonly #observer: TestObserver
  /** Settles when the loop has joined or can't; `undefined` before `run` and `init`. Never rejects. */
  joined: Promise<void> | undefined

  constructor(observer: TestObserver, topic: string | readonly string[], options: ConsumerLoopOptions<T>) {
    super(adapter, topic, options)
    this.#observer = observer
  }

  override handle(handler: Handler<T> | Listener<T>): this {
    if (typeof handler === 'function') return super.handle(this.#observed(handler))
    // What is no listener is for the loop to refuse.
    if (typeof handler?.consume !== 'function') return super.handle(handler)
    return super.handle({
      consume: this.#observed((message) => handler.consume(message)),
      flush: () => handler.flush?.(),
    })
  }

  override init(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const opening = super.init(options)
    this.joined = opening.catch(() => {})
    return opening
  }

  #observed(handler: Handler<T>): Handler<T> {
    return async (message) => {
      try {
        return await handler(message)
      } catch (error) {
        const { topic, id, attempt } = message
        this.#observer.handlerFailed({ error, topic, group: this.group, id, attempt })
        throw error
      }
    }
  }
}
