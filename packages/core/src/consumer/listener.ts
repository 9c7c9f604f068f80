import type { Handler, Listener } from '../message.js'
import { describeType } from '../options/problems.js'

/** Returns what is wrong with a value given as a handler; `undefined` when it is valid. */
export function listenerProblem(handler: unknown): string | undefined {
  if (typeof handler === 'function') {
    const isClass = /^class\b/.test(Function.prototype.toString.call(handler))
    return isClass ? 'is a class: pass an instance of it' : undefined
  }
  const expected = 'must be a function, or an object with consume(message)'
  if (typeof handler !== 'object' || handler === null) return `${expected}, got ${describeType(handler)}`
  const { consume, flush } = handler as Partial<Listener>
  if (typeof consume !== 'function') return `${expected}; consume is ${describeType(consume)}`
  if (flush !== undefined && typeof flush !== 'function')
    return `has a flush that is not a function but ${describeType(flush)}`
  return undefined
}

export function handlerOf<T>(handler: Handler<T> | Listener<T>): Handler<T> {
  return typeof handler === 'function' ? handler : (message) => handler.consume(message)
}

export function flushOf<T>(handler: Handler<T> | Listener<T>): (() => unknown) | undefined {
  return typeof handler === 'function' || handler.flush === undefined ? undefined : () => handler.flush?.()
}
