import { describe, expect, it, vi } from 'vitest'
import { BatchError, ERROR_CODES, isBatchError, isStreamError, StreamError, toStreamError } from '../src/errors.js'
import { Events } from '../src/events.js'

describe('StreamError', () => {
  it('is retryable by its code unless said otherwise', () => {
    const retryable = ERROR_CODES.filter((code) => new StreamError('x', { code }).retryable)
    expect(retryable).toEqual(['UNAVAILABLE', 'TIMEOUT', 'RESOURCE_EXHAUSTED', 'UNKNOWN'])
    expect(new StreamError('x', { code: 'TIMEOUT', retryable: false }).retryable).toBe(false)
  })

  it('is recognised across installed copies', async () => {
    vi.resetModules()
    const copy = await import('../src/errors.js')
    const foreign = new copy.StreamError('x', { code: 'CLOSED' })
    expect(copy.StreamError).not.toBe(StreamError)
    expect(isStreamError(foreign)).toBe(true)
    expect(foreign instanceof StreamError).toBe(true)
    expect(foreign instanceof BatchError).toBe(false)
    expect(isStreamError(new Error('x'))).toBe(false)
    expect(isStreamError(null)).toBe(false)
  })

  it('wraps anything, keeps the cause, and passes its own through', () => {
    const own = new StreamError('x', { code: 'CLOSED' })
    expect(toStreamError(own, { code: 'UNKNOWN' })).toBe(own)
    const cause = new TypeError('boom')
    expect(toStreamError(cause, { code: 'UNKNOWN', topic: 't' })).toMatchObject({ message: 'boom', cause, topic: 't' })
    expect(toStreamError('text', { code: 'UNKNOWN' }).message).toBe('text')
  })

  it('BatchError lists failures and is retryable only if all are', () => {
    const busy = new StreamError('busy', { code: 'UNAVAILABLE' })
    const bad = new StreamError('bad', { code: 'TOO_LARGE' })
    const error = new BatchError(
      [
        { index: 3, error: busy },
        { index: 7, error: bad },
      ],
      9,
      { topic: 't' },
    )
    expect(error).toMatchObject({ name: 'BatchError', code: 'UNAVAILABLE', retryable: false, total: 9 })
    expect(error.message).toBe('2 of 9 records were not accepted; the first, at index 3: busy')
    expect(isBatchError(error) && isStreamError(error)).toBe(true)
    expect(isBatchError(busy)).toBe(false)
  })
})

describe('events', () => {
  const recorder = () => {
    const lines: string[] = []
    const log = (line: string): void => void lines.push(line)
    return {
      lines,
      events: new Events<{ error: Error; ready: number }>({ debug: log, info: log, warn: log, error: log }, 'loop'),
    }
  }

  it('logs an error that nobody listens to, and never throws', () => {
    const { events, lines } = recorder()
    events.emit('error', new Error('lost'))
    expect(lines).toEqual(['loop: lost'])
    events.on('error', () => {})
    events.emit('error', new Error('heard'))
    expect(lines.length).toBe(1)
  })

  it('a listener that throws disturbs neither the others nor the emitter', () => {
    const { events, lines } = recorder()
    const seen: number[] = []
    events.on('ready', () => {
      throw new Error('mine')
    })
    const listener = (value: number): void => void seen.push(value)
    events.on('ready', listener)
    events.emit('ready', 1)
    events.off('ready', listener)
    events.emit('ready', 2)
    expect(seen).toEqual([1])
    expect(lines[0]).toContain("a listener of 'ready' threw")
  })
})
