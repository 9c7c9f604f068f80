import { inspect } from 'node:util'
import { type ErrorCode, isStreamError, type StreamError } from '@streamswitch/core'
import { expect } from 'vitest'
import { within } from './collect.js'

/** The error a promise rejects with; fails when it resolves, or the error isn't a `StreamError` with one of these codes. */
export async function rejection(promise: PromiseLike<unknown>, ...codes: readonly ErrorCode[]): Promise<StreamError> {
  const outcome = await within(
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    `a rejection with ${codes.join(' or ')}`,
  )
  if (!('error' in outcome))
    throw new Error(
      `expected a rejection with ${codes.join(' or ')}, but it resolved with ${inspect(outcome.value, { depth: 1 })}`,
    )
  return checked(outcome.error, codes)
}

/** The error a function throws at once; fails otherwise, as {@link rejection} does. */
export function thrown(action: () => unknown, ...codes: readonly ErrorCode[]): StreamError {
  let error: unknown
  try {
    action()
  } catch (caught) {
    error = caught
  }
  if (error === undefined) throw new Error(`expected ${codes.join(' or ')} to be thrown, but nothing was`)
  return checked(error, codes)
}

function checked(error: unknown, codes: readonly ErrorCode[]): StreamError {
  if (!isStreamError(error))
    throw new Error(`expected a StreamError with ${codes.join(' or ')}, got ${inspect(error, { depth: 1 })}`, {
      cause: error,
    })
  if (!codes.includes(error.code))
    throw new Error(`expected ${codes.join(' or ')}, got ${error.code}: ${error.message}`, { cause: error })
  expect(error.message, 'the message of the error').not.toBe('')
  return error
}

/** Every way in which an error or another object may come to be shown. */
export function shownForms(value: unknown): string {
  const forms = [String(value), inspect(value, { depth: 12, showHidden: true }), JSON.stringify(value, withErrors())]
  if (value instanceof Error) forms.push(value.message, value.stack ?? '')
  return forms.join('\n')
}

/** JSON of errors as loggers write it: message, stack and causes included. Circular parts are left out. */
function withErrors(): (this: unknown, name: string, value: unknown) => unknown {
  const seen = new WeakSet<object>()
  return (_name, value) => {
    if (typeof value === 'bigint') return String(value)
    if (typeof value !== 'object' || value === null) return value
    if (seen.has(value)) return undefined
    seen.add(value)
    if (!(value instanceof Error)) return value
    return { ...value, message: value.message, stack: value.stack, cause: value.cause }
  }
}
