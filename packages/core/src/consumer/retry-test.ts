import { ERROR_CODES, isStreamError } from '../errors.js'
import { nearestName } from '../options/problems.js'

/** Returns whether an error is worth a retry. */
export type RetryTest = (error: unknown) => boolean

/** A class of errors, as `instanceof` knows it. */
export type ErrorClass = abstract new (...args: never[]) => unknown

/** What `retry.when` accepts: a function, or a list of what to retry: codes (`error.code`) and classes. */
export type RetryRule = RetryTest | readonly (string | ErrorClass)[]

// CLOSED and ABORTED concern the call that was interrupted, not the message.
export function isWorthRetrying(error: unknown): boolean {
  return !isStreamError(error) || error.retryable || error.code === 'CLOSED' || error.code === 'ABORTED'
}

/** Checks `retry.when`. */
export function checkRetryRule(raw: unknown): { readonly value: RetryRule } | string {
  const expected = 'must be a function of the error, or a list of error codes and classes'
  if (typeof raw === 'function') return { value: raw as RetryTest }
  if (!Array.isArray(raw) || raw.length === 0) return expected
  for (const one of raw as unknown[]) {
    if (isErrorClass(one)) continue
    if (typeof one !== 'string' || one === '') return expected
    const near = misspelt(one)
    if (near !== undefined) return `${expected}; '${one}' is not an error code, did you mean '${near}'?`
  }
  return { value: raw as (string | ErrorClass)[] }
}

/** Returns the function that a rule stands for. */
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

/**
 * Returns the code that was probably meant. Codes of others (`ECONNRESET`, a database's) aren't similar to any of ours.
 */
function misspelt(code: string): string | undefined {
  if (ERROR_CODES.some((known) => known === code)) return undefined
  const near = nearestName(code, ERROR_CODES)
  return near !== undefined && Math.abs(near.length - code.length) <= 2 && near[0] === code[0]?.toUpperCase()
    ? near
    : undefined
}
