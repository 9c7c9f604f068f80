import { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import type { HandlerStage } from './handler-chain.js'

/**
 * Stands around a handler: works before `next()`, after it, or in its place. `next()` resolves with what comes after it returned, and
 * rejects with its error; what the middleware returns or throws counts as the handler's. Leaving `next()` out skips the handler: the
 * message is done. A second call of `next()` rejects with CONFLICT. It may send; it may not keep the message beyond its own end.
 */
export type HandlerMiddleware<T = unknown> = (message: Message<T>, next: () => Promise<unknown>) => unknown

/** The stages of a list of middleware, the first one outermost. */
export function middlewareStages(list: readonly HandlerMiddleware[]): HandlerStage[] {
  return list.map((middleware) => (next) => (message) => {
    let called = false
    return middleware(message, async () => {
      if (called) throw calledTwice(message)
      called = true
      return next(message)
    })
  })
}

function calledTwice(message: Message): StreamError {
  return new StreamError(`a middleware called next() twice for message ${message.id}`, {
    code: 'CONFLICT',
    topic: message.topic,
    operation: 'handle',
  })
}
