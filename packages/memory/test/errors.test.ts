import { StreamError } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { classifyError, orderingConflict, publisherTaken, topicFull } from '../src/errors.js'

describe('errors', () => {
  it.each([
    [topicFull('t', 10), 'RESOURCE_EXHAUSTED', true],
    [publisherTaken('t', 'p'), 'CONFLICT', false],
    [orderingConflict('t', 'g', 'key'), 'CONFLICT', false],
    [new StreamError('own', { code: 'CLOSED' }), 'CLOSED', false],
    [new TypeError('a defect'), 'UNKNOWN', false],
    ['text', 'UNKNOWN', false],
  ])('%s is %s, retryable: %s', (native, code, retryable) => {
    expect(classifyError(native, 'send', 't')).toMatchObject({ code, retryable })
  })
})
