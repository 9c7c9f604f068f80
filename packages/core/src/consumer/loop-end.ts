import type { StreamError } from '../errors.js'

/** How a loop ended, for `run` to await. */
export class LoopEnd {
  readonly promise: Promise<void>
  resolve: () => void = () => {}
  reject: (error: StreamError) => void = () => {}

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    // run() may not have been called: the error was emitted as well.
    this.promise.catch(() => {})
  }
}
