import type { StreamError } from '../errors.js'

/** How a loop ends, for `run` to wait for. */
export class LoopEnd {
  readonly promise: Promise<void>
  resolve: () => void = () => {}
  reject: (error: StreamError) => void = () => {}

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // run() may not be waiting: the error was emitted as well.
    this.promise.catch(() => {})
  }
}
