import { ERROR_CODES, isStreamError } from '../errors.js'
import { nearestName } from '../options/problems.js'

/** Says whether an error is worth another attempt. */
export type RetryTest = (error: unknown) => boolean

/** A class of errors, as `instanceof` knows it. */
export type ErrorClass = abstract new (...args: never[]) => unknown

/** What `retry.when` takes: a test, or the list of what is worth another attempt: codes (`error.code`) and classes. */
export type RetryRule = RetryTest | readonly (string | ErrorClass)[]

// CLOSED and ABORTED speak of the call that was interrupted, not of the message.
export function isWorthRetrying(error: unknown): boolean {
  return !isStreamError(error) || error.retryable || error.code === 'CLOSED' || error.code === 'ABORTED'
}

/** What `retry.when` must be; a list may not be told from a function by its caller any more. */
export function checkRetryRule(raw: unknown): { readonly value: RetryRule } | string {
  const expected = 'must be a function of the error, or a list of error codes and classes'
  if (typeof raw === 'function') return { value: raw as RetryTest }
  if (!Array.isArray(raw) || raw.length === 0) return expected
  for (const one of raw as unknown[]) {
    if (isErrorClass(one)) continue
    if (typeof one !== 'string' || one === '') return expected
    const near = misspelt(one)
    if (near !== undefined) return `${expected}; '${one}' is no code, did you mean '${near}'?`
  }
  return { value: raw as (string | ErrorClass)[] }
}

/** The test that a rule stands for. */
export function retryTest(rule: RetryRule): RetryTest {
  if (typeof rule === 'function') return rule
  const codes = new Set(rule.filter((one) => typeof one === 'string'))
  const classes = rule.filter((one) => typeof one !== 'string')
  return (error) => codes.has(codeOf(error) ?? '') || classes.some((one) => error instanceof one)
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}

function isErrorClass(value: unknown): value is ErrorClass {
  return typeof value === 'function' && typeof value.prototype === 'object'
}

/** One of our codes with a slip in it. Codes of others (`ECONNRESET`, a database's) are not near any of ours. */
function misspelt(code: string): string | undefined {
  if (ERROR_CODES.some((known) => known === code)) return undefined
  const near = nearestName(code, ERROR_CODES)
  return near !== undefined && Math.abs(near.length - code.length) <= 2 && near[0] === code[0]?.toUpperCase()
    ? near
    : undefined
}
