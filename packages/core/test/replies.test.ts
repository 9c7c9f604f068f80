import { describe, expect, it } from 'vitest'
import { StreamError } from '../src/errors.js'
import { PartOrder } from '../src/feedback/part-order.js'
import { formatReplyAddress, isInboxBelow, parseReplyAddress } from '../src/feedback/reply-address.js'
import { partHeaders, type ReplyPart, readPart } from '../src/feedback/reply-part.js'
import { newRequestId } from '../src/feedback/request-ids.js'

/** What a caller would see. */
class Caller {
  parts: string[] = []
  taken = 0
  ended: StreamError | 'ended' | undefined

  part(payload: Buffer): void {
    this.parts.push(payload.toString())
  }

  discard(): void {
    this.parts = []
  }

  end(error: StreamError | undefined): void {
    this.ended ??= error ?? 'ended'
  }
}

function part(run: string, number: number, text?: string, more: Partial<ReplyPart> = {}): ReplyPart {
  const payload = text === undefined ? undefined : Buffer.from(text)
  return { from: 'group', run, number, payload, end: text === undefined, error: undefined, ...more }
}

describe('the records of a reply', () => {
  it('count once, and in their order', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    for (const one of [part('1-a', 2, 'two'), part('1-a', 1, 'one'), part('1-a', 1, 'one'), part('1-a', 2, 'two')])
      order.add(one)
    expect(caller.parts).toEqual(['one', 'two'])
    order.add(part('1-a', 3))
    expect(caller.ended).toBe('ended')
  })

  it('of a newer start replace those of the one before while nothing was read, and that one stays given up', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    for (const one of [part('1-a', 1, 'old'), part('2-b', 1, 'new'), part('1-a', 2, 'late'), part('2-b', 2)])
      order.add(one)
    expect(caller.parts).toEqual(['new'])
    expect(caller.ended).toBe('ended')
  })

  it('of two starts never mix: once a part was read the reply ends with ABORTED', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    order.add(part('1-a', 1, 'read'))
    caller.taken = 1
    order.add(part('1-b', 1, 'again'))
    expect(caller.parts).toEqual(['read'])
    expect(caller.ended).toMatchObject({ code: 'ABORTED' })
  })

  it('of another group than the first are passed over', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    order.add(part('1-a', 1, 'ours'))
    order.add(part('1-c', 1, undefined, { from: 'others' }))
    expect(caller).toMatchObject({ parts: ['ours'], ended: undefined })
  })

  it('say what they are in their headers, and nothing else', () => {
    const error = new StreamError('declined', { code: 'PERMISSION_DENIED' })
    const headers = partHeaders('i.7', { from: 'bank', run: '2-x', number: 3, end: true }, error)
    expect(headers).toEqual({
      'streamswitch-reply': '1',
      'streamswitch-request-id': 'i.7',
      'streamswitch-reply-from': 'bank',
      'streamswitch-reply-run': '2-x',
      'streamswitch-reply-part': '3',
      'streamswitch-reply-end': '1',
      'streamswitch-error': 'declined',
      'streamswitch-error-code': 'PERMISSION_DENIED',
    })
    const read = readPart({ headers, payload: undefined, timestamp: 0 })
    expect(read).toMatchObject({ from: 'bank', run: '2-x', number: 3, end: true, payload: undefined })
    expect(read.error).toMatchObject({ code: 'PERMISSION_DENIED', message: 'declined', retryable: false })
  })

  it('of a foreign responder are a whole reply; those of a newer format are refused', () => {
    const payload = Buffer.from('x')
    expect(readPart({ headers: {}, payload, timestamp: 0 })).toMatchObject({ number: 1, end: true, payload })
    const newer = { headers: { 'streamswitch-reply': '2' }, payload, timestamp: 0 }
    expect(() => readPart(newer)).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })
})

describe('what a responder makes a caller keep', () => {
  it('is at most a thousand parts ahead of one that is missing', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    for (let number = 2; number <= 1_000; number += 1) order.add(part('1-a', number, 'x'))
    expect(caller.ended).toBeUndefined()
    expect(order.aheadBytes).toBe(999 * 257)
    order.add(part('1-a', 1_001, 'x'))
    expect(caller.ended).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      message: expect.stringContaining('part 1 is missing') as unknown,
    })
    order.clear()
    expect(order.aheadBytes).toBe(0)
  })

  it('counts once what comes twice, and no longer once it was handed on', () => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    for (const number of [3, 3, 2, 3]) order.add(part('1-a', number, 'xyz'))
    expect(order.aheadBytes).toBe(2 * 259)
    order.add(part('1-a', 1, 'x'))
    expect(caller.parts).toEqual(['x', 'xyz', 'xyz'])
    expect(order.aheadBytes).toBe(0)
  })

  it.each([2 ** 40, Number.MAX_SAFE_INTEGER])('is nothing of a part with the number %d', (number) => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    order.add(part('1-a', number, 'x'))
    expect(order.aheadBytes).toBe(0)
    expect(caller.ended).toMatchObject({ code: 'RESOURCE_EXHAUSTED' })
  })

  it.each(['-1', '0', '1.5', '1e400', 'x', ''])('is nothing of a part with the number %j', (number) => {
    const caller = new Caller()
    const order = new PartOrder(caller)
    const headers = { 'streamswitch-reply': '1', 'streamswitch-reply-part': number }
    order.add(readPart({ headers, payload: Buffer.from('x'), timestamp: 0 }))
    expect(caller).toMatchObject({ parts: [], ended: undefined })
    expect(order.aheadBytes).toBe(0)
  })

  it.each(['streamswitch-reply-from', 'streamswitch-reply-run'])('has names of bounded length: %s', (header) => {
    const headers = { 'streamswitch-reply': '1', [header]: 'x'.repeat(257) }
    expect(() => readPart({ headers, payload: undefined, timestamp: 0 })).toThrow(
      expect.objectContaining({ code: 'SERIALIZATION', message: expect.stringContaining(header) as unknown }),
    )
  })

  it('has errors of a thousand characters, on one line', () => {
    const headers = { 'streamswitch-error': `${'\n'.repeat(10)}${'x'.repeat(5_000)}` }
    const message = readPart({ headers, payload: undefined, timestamp: 0 }).error?.message ?? ''
    expect(message).toContain('\\n')
    expect(message).not.toContain('\n')
    expect(message.length).toBeLessThan(1_100)
  })
})

describe('the id of a request', () => {
  it('has 128 random bits, also where a thousand are made at a time', () => {
    const ids = Array.from({ length: 2_000 }, () => newRequestId())
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of ids) expect(id).toMatch(/^[\w-]{22}$/)
    // Every bit of the first bytes is one in about half of them: nothing counts there.
    const ones = new Array<number>(128).fill(0)
    for (const id of ids)
      for (const [index, byte] of Buffer.from(id, 'base64url').entries())
        for (let bit = 0; bit < 8; bit += 1) ones[index * 8 + bit] = (ones[index * 8 + bit] ?? 0) + ((byte >> bit) & 1)
    for (const count of ones) expect(Math.abs(count - 1_000)).toBeLessThan(300)
  })
})

describe('an inbox', () => {
  it.each([
    ['r:', 'r:0123456789abcdef', true],
    ['r:', 'r:', false],
    ['r:', 'r', false],
    ['r:', 'xr:a', false],
    ['r:', 'r:a:b', false],
    ['r:', 'r:a/b', false],
    ['r:', 'r:A', false],
    ['r:', 'r:a\n', false],
    ['r:', `r:${'a'.repeat(41)}`, false],
    ['', 'abc', true],
    ['', '', false],
  ])('below %j: %j is %s', (namespace, inbox, expected) => {
    expect(isInboxBelow(namespace, inbox)).toBe(expected)
  })
})

describe('the address of a reply', () => {
  it('is one text, with a version', () => {
    const text = formatReplyAddress('redis', 'app.streamswitch-replies:i', 'i.1')
    expect(text).toBe('streamswitch:1:redis:app.streamswitch-replies:i#i.1')
    expect(parseReplyAddress(text)).toEqual({
      transport: 'redis',
      inbox: 'app.streamswitch-replies:i',
      requestId: 'i.1',
    })
  })

  it('of a newer version is refused, one of another shape is foreign', () => {
    expect(() => parseReplyAddress('streamswitch:2:redis:x#1')).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED' }),
    )
    expect(parseReplyAddress('amq.gen-1#7')).toEqual({ transport: undefined, inbox: 'amq.gen-1', requestId: '7' })
    expect(parseReplyAddress('amq.gen-1')).toEqual({ transport: undefined, inbox: 'amq.gen-1', requestId: '' })
  })
})
