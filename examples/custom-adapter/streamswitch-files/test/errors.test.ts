import { type ErrorCode, StreamError } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { classifyError } from '../src/errors.js'

const TABLE: readonly (readonly [native: string, code: ErrorCode, retryable: boolean])[] = [
  ['ENOENT', 'UNAVAILABLE', true],
  ['ENOTDIR', 'UNAVAILABLE', true],
  ['EIO', 'UNAVAILABLE', true],
  ['ESTALE', 'UNAVAILABLE', true],
  ['EBUSY', 'UNAVAILABLE', true],
  ['EAGAIN', 'UNAVAILABLE', true],
  ['ETIMEDOUT', 'TIMEOUT', true],
  ['ENOSPC', 'RESOURCE_EXHAUSTED', true],
  ['EDQUOT', 'RESOURCE_EXHAUSTED', true],
  ['EMFILE', 'RESOURCE_EXHAUSTED', true],
  ['ENFILE', 'RESOURCE_EXHAUSTED', true],
  ['EACCES', 'PERMISSION_DENIED', false],
  ['EPERM', 'PERMISSION_DENIED', false],
  ['EROFS', 'PERMISSION_DENIED', false],
  ['ENAMETOOLONG', 'INVALID_ARGUMENT', false],
  ['EWHATEVER', 'UNKNOWN', true],
]

describe('errors of the file system', () => {
  it.each(TABLE)('%s is %s, retryable: %s', (native, code, retryable) => {
    const cause = Object.assign(new Error(`${native}: it happened, open '/data/orders/0.log'`), { code: native })
    const error = classifyError(cause, 'send', 'orders')
    expect(error).toMatchObject({ code, retryable, transport: 'files', operation: 'send', topic: 'orders', cause })
    expect(error.message).toContain('/data/orders/0.log')
  })

  it('keeps what is a StreamError already', () => {
    const error = new StreamError('no', { code: 'ABORTED' })
    expect(classifyError(error, 'ack')).toBe(error)
  })

  it('makes a StreamError of anything that may be thrown', () => {
    for (const thrown of [undefined, null, 'text', 7, { code: 'ENOENT' }]) {
      expect(classifyError(thrown, 'open')).toMatchObject({ code: 'UNKNOWN', operation: 'open' })
    }
  })
})
