import { StreamError } from '@streamswitch/core'
import { describe, expect, test } from 'vitest'
import {
  ConnectionGone,
  NoLeader,
  PublishersRefused,
  ResponseCode,
  ServerError,
} from '../src/client-patches/server-error.js'
import { classifyError } from '../src/errors.js'

const BY_RESPONSE: readonly (readonly [keyof typeof ResponseCode, string, boolean])[] = [
  ['streamDoesNotExist', 'NOT_FOUND', false],
  ['subscriptionIdExists', 'UNAVAILABLE', true],
  ['subscriptionIdDoesNotExist', 'UNAVAILABLE', true],
  ['streamAlreadyExists', 'CONFLICT', false],
  ['streamNotAvailable', 'UNAVAILABLE', true],
  ['saslMechanismNotSupported', 'UNAUTHENTICATED', false],
  ['authenticationFailure', 'UNAUTHENTICATED', false],
  ['saslError', 'UNAUTHENTICATED', false],
  ['saslChallenge', 'UNAUTHENTICATED', false],
  ['authenticationFailureLoopback', 'UNAUTHENTICATED', false],
  ['virtualHostAccessFailure', 'PERMISSION_DENIED', false],
  ['unknownFrame', 'UNSUPPORTED', false],
  ['frameTooLarge', 'TOO_LARGE', false],
  ['internalError', 'UNAVAILABLE', true],
  ['accessRefused', 'PERMISSION_DENIED', false],
  ['preconditionFailed', 'CONFLICT', false],
  ['publisherDoesNotExist', 'UNAVAILABLE', true],
  ['noOffset', 'NOT_FOUND', false],
]

const BY_SYSTEM_CODE: readonly (readonly [string, string, boolean])[] = [
  ['ECONNREFUSED', 'UNAVAILABLE', true],
  ['ECONNRESET', 'UNAVAILABLE', true],
  ['EPIPE', 'UNAVAILABLE', true],
  ['ETIMEDOUT', 'UNAVAILABLE', true],
  ['ENOTFOUND', 'UNAVAILABLE', true],
  ['ERR_SSL_WRONG_VERSION_NUMBER', 'INVALID_ARGUMENT', false],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'UNAUTHENTICATED', false],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'UNAUTHENTICATED', false],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNAUTHENTICATED', false],
  ['CERT_HAS_EXPIRED', 'UNAUTHENTICATED', false],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'UNAUTHENTICATED', false],
]

describe('classifyError', () => {
  test.each(BY_RESPONSE)('response %s is %s', (name, code, retryable) => {
    const native = new ServerError(ResponseCode[name], 'subscribing')
    expect(classifyError(native, 'open', 'orders')).toMatchObject({
      code,
      retryable,
      transport: 'rabbitmq-stream',
      operation: 'open',
      topic: 'orders',
      cause: native,
    })
  })

  test('a refusal names the right and the stream', () => {
    const needed = { right: 'write', stream: 'app.orders-0' }
    const native = new ServerError(ResponseCode.accessRefused, 'declaring a publisher', undefined, needed)
    expect(classifyError(native, 'send', 'orders').message).toBe(
      "declaring a publisher: the broker answered 'access refused'; the user lacks write on 'app.orders-0': grant it, see docs/rights.md",
    )
  })

  test('every response code but ok is in the table', () => {
    expect(BY_RESPONSE.map(([name]) => name).sort()).toEqual(
      Object.keys(ResponseCode)
        .filter((name) => name !== 'ok')
        .sort(),
    )
  })

  test.each(BY_SYSTEM_CODE)('%s is %s', (name, code, retryable) => {
    expect(classifyError(Object.assign(new Error('failed'), { code: name }), 'open')).toMatchObject({ code, retryable })
  })

  test('a connection that is gone is UNAVAILABLE', () => {
    expect(classifyError(new ConnectionGone('the broker was silent for 20000 ms'), 'send')).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
    })
    expect(classifyError(new NoLeader("stream 'orders' has no leader at the moment"), 'open')).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
    })
  })

  test('a broker that takes no publishers is RESOURCE_EXHAUSTED, and may take them later', () => {
    expect(classifyError(new PublishersRefused('short of disk space'), 'open')).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      retryable: true,
    })
  })

  test('what is unknown is UNKNOWN, retryable, with its cause; what is classified passes through', () => {
    const native = new Error('never seen')
    expect(classifyError(native, 'send')).toMatchObject({ code: 'UNKNOWN', retryable: true, cause: native })
    expect(classifyError(new ServerError(99, 'subscribing'), 'send')).toMatchObject({ code: 'UNKNOWN' })
    expect(classifyError('text', 'send').message).toBe('text')
    const known = new StreamError('known', { code: 'CONFLICT' })
    expect(classifyError(known, 'send')).toBe(known)
    expect(classifyError(new DOMException('stop', 'AbortError'), 'open').code).toBe('ABORTED')
  })
})
