import { StreamError } from '../errors.js'
import type { Message } from '../message.js'
import type { HandlerStage } from './handler-chain.js'

/**
 * A function around a handler: runs code before `next()`, after it, or instead of it. `next()` resolves with the inner
 * return value and rejects with the inner error; what the middleware returns or throws counts as the handler's result.
 * Not calling `next()` skips the handler: the message is done. A second call of `next()` rejects with CONFLICT. It may
 * send messages; it must not use the message after it has returned.
 */
export type HandlerMiddleware<T = unknown> = (message: Message<T>, next: () => Promise<unknown>) => unknown

/** Returns the stages of a list of middleware, the first one outermost. */
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
