import { StreamError } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { refusalOfError, refusalOfResponse } from '../src/client/refusal.js'
import { classifyError, codeOfStatus, NATIVE_ERRORS, readRetryAfter, wasUnsent } from '../src/errors.js'
import { handlerProblem, shownTo, worst } from '../src/wire/problem.js'

const SENT = { url: 'http://a/t', topic: 't', reply: false, hide: (said: string) => said }

const native = (code: string, message = 'native text'): Error => Object.assign(new Error(message), { code })

describe('native errors', () => {
  it.each([
    ['ECONNREFUSED', 'UNAVAILABLE', true],
    ['ENOTFOUND', 'UNAVAILABLE', true],
    ['EAI_AGAIN', 'UNAVAILABLE', true],
    ['EHOSTUNREACH', 'UNAVAILABLE', true],
    ['ENETUNREACH', 'UNAVAILABLE', true],
    ['UND_ERR_CONNECT_TIMEOUT', 'UNAVAILABLE', true],
    ['ECONNRESET', 'UNAVAILABLE', true],
    ['ECONNABORTED', 'UNAVAILABLE', true],
    ['EPIPE', 'UNAVAILABLE', true],
    ['ETIMEDOUT', 'UNAVAILABLE', true],
    ['UND_ERR_SOCKET', 'UNAVAILABLE', true],
    ['UND_ERR_HEADERS_TIMEOUT', 'TIMEOUT', true],
    ['UND_ERR_BODY_TIMEOUT', 'TIMEOUT', true],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'UNAVAILABLE', true],
    ['UND_ERR_HEADERS_OVERFLOW', 'UNAVAILABLE', true],
    ['UND_ERR_DESTROYED', 'CLOSED', false],
    ['UND_ERR_CLOSED', 'CLOSED', false],
    ['UND_ERR_ABORTED', 'ABORTED', false],
    ['UND_ERR_INVALID_ARG', 'INVALID_ARGUMENT', false],
    ['ABORT_ERR', 'ABORTED', false],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNAUTHENTICATED', false],
    ['SELF_SIGNED_CERT_IN_CHAIN', 'UNAUTHENTICATED', false],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNAUTHENTICATED', false],
    ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNAUTHENTICATED', false],
    ['CERT_HAS_EXPIRED', 'UNAUTHENTICATED', false],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'UNAUTHENTICATED', false],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'INVALID_ARGUMENT', false],
    ['EPROTO', 'INVALID_ARGUMENT', false],
    ['EADDRINUSE', 'CONFLICT', true],
    ['EADDRNOTAVAIL', 'INVALID_ARGUMENT', false],
    ['EACCES', 'PERMISSION_DENIED', false],
    ['HPE_INVALID_CONSTANT', 'UNAVAILABLE', true],
    ['SOMETHING_NEW', 'UNKNOWN', true],
  ])('%s is %s, retryable: %s', (code, expected, retryable) => {
    const cause = native(code)
    const error = classifyError(cause, 'send', 'orders')
    expect(error).toMatchObject({
      code: expected,
      retryable,
      transport: 'http',
      operation: 'send',
      topic: 'orders',
      cause,
    })
    expect(error.message).toContain('native text')
  })

  it('has no entry that this table forgot', () => {
    expect(Object.keys(NATIVE_ERRORS)).toHaveLength(31)
  })

  it('leaves errors of its own as they are', () => {
    const own = new StreamError('own', { code: 'CLOSED' })
    expect(classifyError(own, 'send')).toBe(own)
  })

  it('shows the code of an AggregateError, whose message is empty', () => {
    const error = classifyError(native('ECONNREFUSED', ''), 'send')
    expect(error.message).toContain('ECONNREFUSED')
  })

  it('takes only failures to connect for requests that never left', () => {
    expect(wasUnsent(native('ECONNREFUSED'))).toBe(true)
    expect(wasUnsent(native('ECONNRESET'))).toBe(false)
    expect(refusalOfError(native('ECONNRESET'), 'http://a/t', 't')).toMatchObject({ ambiguous: true, elsewhere: false })
    expect(refusalOfError(native('ECONNREFUSED'), 'http://a/t', 't')).toMatchObject({
      ambiguous: false,
      elsewhere: true,
    })
  })
})

describe('responses', () => {
  it.each([
    [400, 'INVALID_ARGUMENT', false],
    [401, 'UNAUTHENTICATED', false],
    [403, 'PERMISSION_DENIED', false],
    [404, 'NOT_FOUND', true],
    [408, 'TIMEOUT', true],
    [409, 'CONFLICT', false],
    [410, 'NOT_FOUND', false],
    [413, 'TOO_LARGE', false],
    [415, 'UNSUPPORTED', false],
    [418, 'INVALID_ARGUMENT', false],
    [422, 'INVALID_ARGUMENT', false],
    [425, 'UNAVAILABLE', true],
    [429, 'RESOURCE_EXHAUSTED', true],
    [431, 'TOO_LARGE', false],
    [301, 'INVALID_ARGUMENT', false],
    [500, 'UNKNOWN', true],
    [501, 'UNSUPPORTED', false],
    [502, 'UNAVAILABLE', true],
    [503, 'UNAVAILABLE', true],
    [504, 'TIMEOUT', true],
    [599, 'UNKNOWN', true],
  ])('status %i without a problem of ours is %s, retryable: %s', (status, code, retryable) => {
    expect(codeOfStatus(status)).toEqual({ code, retryable })
    expect(refusalOfResponse(status, {}, undefined, SENT).error).toMatchObject({
      code,
      retryable,
      message: `http://a/t: status ${status}`,
    })
  })

  it('lets a problem say code, retryability, wait and attempts, and ignores what makes no sense', () => {
    const body = { title: 'No', detail: 'because', code: 'CONFLICT', retryable: true, retryAfterMs: 30, attempt: 4 }
    const refusal = refusalOfResponse(500, { 'retry-after': '9' }, body, SENT)
    expect(refusal).toMatchObject({ starts: 4, error: { code: 'CONFLICT', retryable: true, retryAfterMs: 30 } })
    expect(refusal.error.message).toBe('http://a/t: No: because (status 500)')
    const nonsense = { title: 7, code: 'constructor', retryable: 'yes', retryAfterMs: -1, attempt: 'x', groups: [1] }
    expect(refusalOfResponse(503, { 'retry-after': '2' }, nonsense, SENT)).toMatchObject({
      starts: undefined,
      groups: undefined,
      error: { code: 'UNAVAILABLE', retryable: true, retryAfterMs: 2_000 },
    })
    // Exact, where the header counts whole seconds.
    const exact = refusalOfResponse(500, { 'retry-after': '1' }, { retryAfterMs: 112.3, attempt: 1 }, SENT)
    expect(exact.error.retryAfterMs).toBe(113)
  })

  it.each([
    ['2', undefined, 2_000],
    ['0', undefined, 0],
    ['Thu, 01 Jan 1970 00:00:05 GMT', undefined, 4_000],
    ['Thu, 01 Jan 1970 00:00:00 GMT', undefined, 0],
    // The other side's clock is an hour ahead: what it means is three seconds.
    ['Thu, 01 Jan 1970 01:00:05 GMT', 'Thu, 01 Jan 1970 01:00:02 GMT', 3_000],
    ['Thu, 01 Jan 1970 01:00:05 GMT', 'about one', 3_604_000],
    ['Fri, 31 Dec 9999 23:59:59 GMT', undefined, 86_400_000],
    ['9'.repeat(90), undefined, 86_400_000],
    ['soon', undefined, undefined],
    ['-5', undefined, undefined],
    ['+5', undefined, undefined],
    ['1.5', undefined, undefined],
    ['1e3', undefined, undefined],
    ['2026-01-01', undefined, undefined],
    ['1', '', 1_000],
    ['Thursday, 01-Jan-70 00:00:05 GMT', undefined, undefined],
    ['Thu, 99 Jan 1970 00:00:05 GMT', undefined, undefined],
    ['', undefined, undefined],
    [undefined, undefined, undefined],
  ])('Retry-After %s in a response of %s is %s ms', (value, date, expected) => {
    const headers = {
      ...(value === undefined ? {} : { 'retry-after': value }),
      ...(date === undefined ? {} : { date }),
    }
    expect(readRetryAfter(headers, 1_000)).toBe(expected)
  })

  it('answers a failed handler with 500 or 422, with or without its message', () => {
    const failed = new Error('the database is away')
    expect(handlerProblem(failed, { attempt: 2, retryAfterMs: 10, errorDetail: 'message' })).toMatchObject({
      status: 500,
      retryable: true,
      retryAfterMs: 10,
      attempt: 2,
      detail: 'the database is away',
    })
    const silent = handlerProblem(failed, { attempt: 5, retryAfterMs: undefined, errorDetail: 'none' })
    expect(shownTo('authenticated', silent)).toMatchObject({ status: 422, retryable: false, detail: undefined })
  })

  it('lets what can not be mended stand for several groups', () => {
    const mendable = handlerProblem(1, { attempt: 1, retryAfterMs: 1, errorDetail: 'none' })
    const final = handlerProblem(1, { attempt: 1, retryAfterMs: undefined, errorDetail: 'none' })
    expect(worst([mendable, final])).toBe(final)
    expect(worst([mendable])).toBe(mendable)
  })
})
