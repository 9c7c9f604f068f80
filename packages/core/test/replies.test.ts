import { describe, expect, it } from 'vitest'
import { StreamError } from '../src/errors.js'
import { PartOrder } from '../src/feedback/part-order.js'
import { formatReplyAddress, parseReplyAddress } from '../src/feedback/reply-address.js'
import { partHeaders, type ReplyPart, readPart } from '../src/feedback/reply-part.js'

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
