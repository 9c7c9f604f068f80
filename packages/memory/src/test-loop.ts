import { ConsumerLoop, type ConsumerLoopOptions, type HandlerMiddleware } from '@streamswitch/core/driver'
import { adapter } from './adapter.js'

/** An error thrown by a handler. */
export interface HandlerError {
  readonly error: unknown
  readonly topic: string
  readonly group: string
  readonly id: string
  readonly attempt: number
}

/** Receives what happens in a loop under test. */
export interface TestObserver {
  handlerFailed(failure: HandlerError): void
}

/**
 * A loop of the memory transport that reports its handler's errors to the test: a function, a listener, a generator or
 * a batch handler.
 */
export class TestLoop<T = unknown> extends ConsumerLoop<T> {
  /** Settles when the loop has joined or failed to; `undefined` before `run` and `init`. Never rejects. */
  joined: Promise<void> | undefined

  constructor(observer: TestObserver, topic: string | readonly string[], options: ConsumerLoopOptions<T>) {
    super(adapter, topic, observed(options, observer))
  }

  override init(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const opening = super.init(options)
    this.joined = opening.catch(() => {})
    return opening
  }
}

/**
 * Returns the options with an innermost middleware that reports failures: the loop's own middleware may replace the
 * error.
 */
function observed<T>(options: ConsumerLoopOptions<T>, observer: TestObserver): ConsumerLoopOptions<T> {
  const middleware: unknown = options?.middleware ?? []
  // The loop refuses anything that isn't a list.
  if (!Array.isArray(middleware)) return options
  const observe: HandlerMiddleware<T> = async (message, next) => {
    try {
      return await next()
    } catch (error) {
      const { topic, id, attempt } = message
      observer.handlerFailed({ error, topic, group: options.group, id, attempt })
      throw error
    }
  }
  return { ...options, middleware: [...(middleware as HandlerMiddleware<T>[]), observe] }
}
