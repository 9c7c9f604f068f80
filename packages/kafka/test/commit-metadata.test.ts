import { describe, expect, it } from 'vitest'
import { type CommitMetadata, decodeMetadata, encodeMetadata } from '../src/commit-metadata.js'

const metadata: CommitMetadata = {
  owner: 'a1b2c3',
  deliveredBelow: 1_120,
  clean: false,
  attempts: new Map([
    [1_000, 2],
    [1_007, 1],
  ]),
}

describe('commit metadata', () => {
  it('has this form on the wire', () => {
    expect(encodeMetadata(1_000, metadata)).toBe('streamswitch/1 owner=a1b2c3 ahead=120 clean=0 attempts=0:2,7:1')
  })

  it('comes back as it went', () => {
    expect(decodeMetadata(1_000, encodeMetadata(1_000, metadata), 't')).toEqual(metadata)
    const clean = { ...metadata, clean: true, attempts: new Map() }
    expect(decodeMetadata(5, encodeMetadata(5, { ...clean, deliveredBelow: 5 }), 't')).toEqual({
      ...clean,
      deliveredBelow: 5,
    })
  })

  it('leaves out what is done', () => {
    expect(decodeMetadata(1_001, encodeMetadata(1_001, metadata), 't')?.attempts).toEqual(new Map([[1_007, 1]]))
  })

  it('stays within what brokers take, keeping what comes next', () => {
    const attempts = new Map(Array.from({ length: 2_000 }, (_, index) => [2_000_000 - index, 3] as const))
    const text = encodeMetadata(1_000_000, { ...metadata, deliveredBelow: 2_000_000, attempts })
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096)
    const read = decodeMetadata(1_000_000, text, 't')
    expect(read?.attempts.size).toBeGreaterThan(300)
    expect(read?.attempts.has(1_998_001)).toBe(true)
    expect(read?.attempts.has(2_000_000)).toBe(false)
  })

  it('has room for what is at work before what only waits, however many do', () => {
    const waiting = Array.from({ length: 2_000 }, (_, index) => [1_000_000 + index, 2] as const)
    const text = encodeMetadata(1_000_000, {
      ...metadata,
      deliveredBelow: 2_000_000,
      attempts: new Map([...waiting, [1_900_000, 1], [1_900_001, 3]]),
    })
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4_096)
    const read = decodeMetadata(1_000_000, text, 't')
    expect(read?.attempts.get(1_900_000)).toBe(1)
    expect(read?.attempts.get(1_900_001)).toBe(3)
    expect(read?.attempts.get(1_000_000)).toBe(2)
  })

  it.each(['', 'something of another client', '{"v":1}'])('of others says nothing: %j', (text) => {
    expect(decodeMetadata(0, text, 't')).toBeUndefined()
  })

  it('of a newer version is refused', () => {
    expect(() => decodeMetadata(0, 'streamswitch/2 whatever', 'orders')).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED', retryable: false, message: expect.stringContaining("'orders'") }),
    )
  })
})
