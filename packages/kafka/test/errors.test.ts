import { StreamError } from '@streamswitch/core'
import kafkajs from 'kafkajs'
import { describe, expect, it } from 'vitest'
import { classifyError, isConnectionError, protocolError } from '../src/errors.js'

/** An error as kafkajs makes it from a broker's answer. */
function protocol(type: string, message = 'what the broker said'): Error {
  return new kafkajs.KafkaJSProtocolError(Object.assign(new Error(message), { type, code: 1, retriable: false }))
}

/** The shells that kafkajs puts around errors. */
function exhausted(cause: Error): Error {
  const shell = new kafkajs.KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 5, retryTime: 100 })
  return Object.assign(shell, { cause })
}

function hopeless(cause: Error): Error {
  return Object.assign(new kafkajs.KafkaJSNonRetriableError(cause), { cause })
}

/** An error of one of kafkajs's own classes; its types don't show most of them. */
function client(name: string, more: object = {}): Error {
  return Object.assign(new kafkajs.KafkaJSError(`what ${name} says`), { name, ...more })
}

const refused = client('KafkaJSConnectionError', { code: 'ECONNREFUSED' })
const timedOut = client('KafkaJSRequestTimeoutError')

describe('classifyError', () => {
  it.each([
    ['send', 'orders', "lacks WRITE on topic 'orders'"],
    ['consume', 'orders', "lacks READ on topic 'orders'"],
    ['delete', 'orders', "lacks DELETE on topic 'orders'"],
    ['open', 'orders', "CREATE if it is to be created, on topic 'orders'"],
    ['topics', undefined, 'lacks a permission on the topic'],
  ])('says which right to a topic is missing: %s', (operation, topic, named) => {
    const { message } = classifyError(protocol('TOPIC_AUTHORIZATION_FAILED'), operation, topic)
    expect(message).toContain(named)
    expect(message).toContain('docs/rights.md')
  })

  it.each([
    [protocol('UNKNOWN_TOPIC_OR_PARTITION'), 'NOT_FOUND', false],
    [protocol('TOPIC_AUTHORIZATION_FAILED'), 'PERMISSION_DENIED', false],
    [protocol('GROUP_AUTHORIZATION_FAILED'), 'PERMISSION_DENIED', false],
    [protocol('CLUSTER_AUTHORIZATION_FAILED'), 'PERMISSION_DENIED', false],
    [protocol('SASL_AUTHENTICATION_FAILED'), 'UNAUTHENTICATED', false],
    [protocol('UNSUPPORTED_SASL_MECHANISM'), 'UNAUTHENTICATED', false],
    [protocol('MESSAGE_TOO_LARGE'), 'TOO_LARGE', false],
    [protocol('ILLEGAL_GENERATION'), 'ABORTED', false],
    [protocol('UNKNOWN_MEMBER_ID'), 'ABORTED', false],
    [protocol('TOPIC_ALREADY_EXISTS'), 'CONFLICT', false],
    [protocol('INCONSISTENT_GROUP_PROTOCOL'), 'CONFLICT', false],
    [protocol('INVALID_REPLICATION_FACTOR'), 'INVALID_ARGUMENT', false],
    [protocol('INVALID_SESSION_TIMEOUT'), 'INVALID_ARGUMENT', false],
    [protocol('INVALID_TIMESTAMP'), 'INVALID_ARGUMENT', false],
    [protocol('OFFSET_METADATA_TOO_LARGE'), 'INVALID_ARGUMENT', false],
    [protocol('UNSUPPORTED_VERSION'), 'UNSUPPORTED', false],
    [protocol('REQUEST_TIMED_OUT'), 'TIMEOUT', true],
    [protocol('NOT_ENOUGH_REPLICAS'), 'UNAVAILABLE', true],
    [protocol('NOT_LEADER_FOR_PARTITION'), 'UNAVAILABLE', true],
    [protocol('GROUP_LOAD_IN_PROGRESS'), 'UNAVAILABLE', true],
    [protocol('REBALANCE_IN_PROGRESS'), 'UNAVAILABLE', true],
    [protocol('OUT_OF_ORDER_SEQUENCE_NUMBER'), 'UNAVAILABLE', true],
    [protocol('THROTTLING_QUOTA_EXCEEDED'), 'RESOURCE_EXHAUSTED', true],
    [protocol('SOMETHING_NEW'), 'UNKNOWN', true],
    // kafkajs calls both of these "not retriable": only their causes tell.
    [exhausted(protocol('NOT_LEADER_FOR_PARTITION')), 'UNAVAILABLE', true],
    [hopeless(refused), 'UNAVAILABLE', true],
    [hopeless(protocol('UNKNOWN_MEMBER_ID')), 'ABORTED', false],
    [exhausted(hopeless(refused)), 'UNAVAILABLE', true],
    [refused, 'UNAVAILABLE', true],
    [client('KafkaJSConnectionClosedError'), 'UNAVAILABLE', true],
    [timedOut, 'TIMEOUT', true],
    [client('KafkaJSSASLAuthenticationError'), 'UNAUTHENTICATED', false],
    [client('KafkaJSNotImplemented'), 'UNSUPPORTED', false],
    [Object.assign(new Error('getaddrinfo ENOTFOUND nowhere'), { code: 'ENOTFOUND' }), 'UNAVAILABLE', true],
    [
      Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
      'UNAUTHENTICATED',
      false,
    ],
    [new StreamError('own', { code: 'CLOSED' }), 'CLOSED', false],
    [new TypeError('a defect'), 'UNKNOWN', true],
    ['text', 'UNKNOWN', true],
    [undefined, 'UNKNOWN', true],
  ])('%s is %s, retryable: %s', (native, code, retryable) => {
    expect(classifyError(native, 'send', 't')).toMatchObject({ code, retryable })
  })

  it('says what the protocol calls it, and what to do', () => {
    const error = classifyError(exhausted(protocol('TOPIC_AUTHORIZATION_FAILED', 'Not authorized')), 'send', 't')
    expect(error).toMatchObject({ transport: 'kafka', operation: 'send', topic: 't' })
    expect(error.message).toContain('TOPIC_AUTHORIZATION_FAILED')
    expect(error.message).toContain('WRITE')
  })

  it('ends at a chain of causes that bites its own tail', () => {
    const error = new Error('round') as Error & { cause: unknown }
    error.cause = error
    expect(classifyError(error, 'send').code).toBe('UNKNOWN')
  })
})

describe('protocolError', () => {
  it('finds the name at any depth', () => {
    expect(protocolError(exhausted(hopeless(protocol('ILLEGAL_GENERATION'))))).toBe('ILLEGAL_GENERATION')
    expect(protocolError(refused)).toBeUndefined()
  })
})

describe('isConnectionError', () => {
  it('tells a broken connection from a refusal by a broker that lives', () => {
    expect(isConnectionError(hopeless(refused))).toBe(true)
    expect(isConnectionError(timedOut)).toBe(true)
    expect(isConnectionError(exhausted(protocol('NOT_LEADER_FOR_PARTITION')))).toBe(false)
    expect(isConnectionError(protocol('MESSAGE_TOO_LARGE'))).toBe(false)
  })
})
