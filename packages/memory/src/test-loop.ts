import { ConsumerLoop, type ConsumerLoopOptions, type HandlerMiddleware } from '@streamswitch/core/driver'
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

/** A loop of the memory transport that tells its test what its handler threw: a function, a listener, a generator or a batch handler. */
export class TestLoop<T = unknown> extends ConsumerLoop<T> {
  /** Settles when the loop has joined or can't; `undefined` before `run` and `init`. Never rejects. */
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

/** The options with a middleware that tells what fails, innermost: the loop's own may make something else of it. */
function observed<T>(options: ConsumerLoopOptions<T>, observer: TestObserver): ConsumerLoopOptions<T> {
  const middleware: unknown = options?.middleware ?? []
  // What is no list is for the loop to refuse.
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
