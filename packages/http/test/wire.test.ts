import type { OutgoingRecord } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { fromRequest, toDeliveryFields, toQuery, toRequestHeaders } from '../src/message.js'
import { decodeBatch, encodeBatch } from '../src/wire/batch-frames.js'
import { ForeignHeaders } from '../src/wire/foreign-headers.js'
import { travelsPlain } from '../src/wire/header-names.js'

function record(fields: Partial<OutgoingRecord> = {}): OutgoingRecord {
  return {
    id: 'id-1',
    key: undefined,
    payload: Buffer.from('{}'),
    headers: undefined,
    timestamp: 1_700_000_000_000,
    partition: undefined,
    sequence: undefined,
    size: 2,
    resends: 0,
    ...fields,
  }
}

const ODD_HEADERS: Record<string, string> = {
  plain: 'value',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  baggage: 'percent=%20stays',
  'X-Upper': 'Case',
  'x-upper': 'other',
  'content-type': 'text/x-own',
  'content-length': '999',
  host: 'evil.example',
  authorization: 'user header, no credentials',
  'transfer-encoding': 'chunked',
  'name with space': 'ä',
  näme: ' leading and trailing ',
  empty: '',
  lines: 'a\r\nx-injected: 1',
  zero: '\u0000',
  owl: '🦉',
  'a=b&c': 'd=e&f%',
  'streamswitch-error': 'of a dead letter',
}
Object.defineProperty(ODD_HEADERS, '__proto__', { value: 'harmless', enumerable: true })

function overTheWire(
  outgoing: OutgoingRecord,
  attempt: Parameters<typeof toRequestHeaders>[0]['attempt'] = 1,
  except?: string[],
  unanswered = 0,
) {
  const flat = toRequestHeaders({ record: outgoing, attempt, unanswered, except }, 'application/json')
  const received: Record<string, string> = {
    host: '127.0.0.1',
    'user-agent': 'x',
    'x-forwarded-for': 'added on the way',
  }
  for (let index = 0; index < flat.length; index += 2)
    received[(flat[index] as string).toLowerCase()] = flat[index + 1] as string
  return { flat, inbound: fromRequest(received, outgoing.payload ?? Buffer.alloc(0), new ForeignHeaders()) }
}

describe('the single-message form', () => {
  it('brings id, key, time, attempt and every header back, and puts nothing on the wire that HTTP could misread', () => {
    const { flat, inbound } = overTheWire(record({ id: 'ü/ 1', key: 'kéy 🦉', headers: ODD_HEADERS, resends: 3 }), 7, [
      'billing',
      'audit',
    ])
    expect(inbound).toMatchObject({
      id: 'ü/ 1',
      key: 'kéy 🦉',
      timestamp: 1_700_000_000_000,
      attempt: 7,
      resend: 3,
      except: ['billing', 'audit'],
    })
    expect(Object.entries(inbound.headers).sort()).toEqual(Object.entries(ODD_HEADERS).sort())
    for (const part of flat) expect(part).toMatch(/^[ -~]*$/)
    const names = flat.filter((_part, index) => index % 2 === 0)
    expect(names).toEqual(expect.arrayContaining(['traceparent', 'baggage', 'plain']))
    for (const name of ['host', 'authorization', 'content-length', 'transfer-encoding', 'x-injected'])
      expect(names).not.toContain(name)
    expect(flat[names.indexOf('content-type') * 2 + 1], "the user's own content type is also HTTP's").toBe('text/x-own')
  })

  it('tells tombstone, empty bytes and no key from empty key', () => {
    expect(overTheWire(record({ payload: undefined })).inbound.payload).toBeUndefined()
    expect(overTheWire(record({ payload: Buffer.alloc(0) })).inbound.payload).toEqual(Buffer.alloc(0))
    expect(overTheWire(record({ key: '' })).inbound.key).toBe('')
    expect(overTheWire(record()).inbound.key).toBeUndefined()
    expect(overTheWire(record()).inbound.headers).toEqual({})
  })

  it('says how many sendings before had no answer, where there were any', () => {
    expect(overTheWire(record(), 1, undefined, 7).inbound).toMatchObject({ attempt: 1, unanswered: 7 })
    const { flat, inbound } = overTheWire(record())
    expect([flat.includes('streamswitch-unanswered'), inbound.unanswered]).toEqual([false, 0])
  })

  it('keeps the attempts of several groups apart', () => {
    const { inbound } = overTheWire(
      record(),
      new Map([
        ['billing', 3],
        ['audit', 1],
      ]),
    )
    const attempts = ['billing', 'audit', 'new'].map(
      (group) => toDeliveryFields(inbound, group, '1', undefined).priorAttempts,
    )
    expect(attempts).toEqual([2, 0, 0])
  })

  it('never lets a message pass for a batch', () => {
    const { flat } = overTheWire(record({ headers: { 'content-type': 'application/vnd.streamswitch.batch.v1' } }))
    expect(flat[flat.indexOf('content-type') + 1]).toBe('application/json')
  })

  it('gives a foreign request sensible defaults', () => {
    const before = Date.now()
    const inbound = fromRequest(
      {
        host: 'h',
        accept: '*/*',
        'user-agent': 'curl',
        'content-type': 'application/json',
        cookie: 'secret',
        authorization: 'Bearer secret',
        'x-request-id': 'r',
        traceparent: 't',
        'idempotency-key': 'theirs',
      },
      Buffer.from('1'),
      new ForeignHeaders(),
    )
    expect(inbound).toMatchObject({
      id: 'theirs',
      key: undefined,
      attempt: 1,
      resend: undefined,
      except: [],
      headers: { 'content-type': 'application/json', 'x-request-id': 'r', traceparent: 't' },
    })
    expect(Object.keys(inbound.headers)).toHaveLength(3)
    expect(inbound.timestamp).toBeGreaterThanOrEqual(before)
  })

  it.each([
    ['streamswitch-id', '%zz'],
    ['streamswitch-key', '%e4'],
    ['streamswitch-timestamp', '-1'],
    ['streamswitch-timestamp', 'now'],
    ['streamswitch-attempt', 'billing=0'],
    ['streamswitch-resend', '1e3'],
    ['streamswitch-encoded-headers', 'a=%'],
  ])('refuses %s: %s', (name, value) => {
    expect(() => fromRequest({ [name]: value }, Buffer.alloc(0), new ForeignHeaders())).toThrow(name)
  })

  it('lets only tokens and printable values travel as themselves', () => {
    expect(['x', 'a.b-c_d', "!#$%&'*+^`|~"].every((name) => travelsPlain(name, 'v w'))).toBe(true)
    expect(
      ['', 'X', 'a b', 'a:b', 'ä', 'a\n', 'streamswitch-x', 'proxy-x', 'sec-x', 'te', 'x'.repeat(101)].some((name) =>
        travelsPlain(name, 'v'),
      ),
    ).toBe(false)
    expect(['', ' v', 'v ', 'v\n', 'ä', '\t', '\u007f'].some((value) => travelsPlain('x', value))).toBe(false)
  })

  it('makes query parameters of the members of an object, and of nothing else', () => {
    const payload = Buffer.from(JSON.stringify({ a: 'x y', n: 1, list: [1], none: null }))
    expect(toQuery(record({ payload })).toString()).toBe('a=x+y&n=1&list=%5B1%5D&none=null')
    expect(toQuery(record({ payload: undefined })).toString()).toBe('')
    for (const bad of ['[1]', '1', 'null', 'x', ''])
      expect(() => toQuery(record({ payload: Buffer.from(bad) }))).toThrow('JSON object')
  })
})

describe('the batch form', () => {
  const outgoing = [
    record({ id: 'a', key: 'k', headers: ODD_HEADERS, payload: Buffer.from([0, 255, 10, 13]) }),
    record({ id: '🦉"\\', payload: undefined, key: '', resends: 2 }),
    record({ id: 'c', payload: Buffer.alloc(0) }),
    record({ id: 'd', payload: Buffer.from('null') }),
  ]

  it('brings every record back, byte for byte', () => {
    const body = encodeBatch(
      outgoing.map((one, index) => ({
        record: one,
        attempt: index === 1 ? new Map([['g', 4]]) : index + 1,
        unanswered: index,
        except: index === 2 ? ['g'] : undefined,
      })),
    )
    const inbound = [...decodeBatch(body)]
    expect(inbound.map(({ id, key, resend }) => ({ id, key, resend }))).toEqual([
      { id: 'a', key: 'k', resend: 0 },
      { id: '🦉"\\', key: '', resend: 2 },
      { id: 'c', key: undefined, resend: 0 },
      { id: 'd', key: undefined, resend: 0 },
    ])
    expect(inbound.map(({ payload }) => payload)).toEqual([
      Buffer.from([0, 255, 10, 13]),
      undefined,
      Buffer.alloc(0),
      Buffer.from('null'),
    ])
    expect(Object.entries(inbound[0]?.headers ?? {})).toEqual(Object.entries(ODD_HEADERS))
    expect(inbound.map(({ attempt }) => attempt)).toEqual([1, new Map([['g', 4]]), 3, 4])
    expect(inbound.map(({ unanswered }) => unanswered)).toEqual([0, 1, 2, 3])
    expect(inbound[2]?.except).toEqual(['g'])
  })

  const frame = (head: string, payload = ''): Buffer => {
    const lengths = [head, payload].map((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(Buffer.byteLength(part))
      return length
    })
    return Buffer.concat([lengths[0] as Buffer, Buffer.from(head), lengths[1] as Buffer, Buffer.from(payload)])
  }

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a length', Buffer.from([0, 0])],
    ['a length beyond the body', Buffer.from([255, 255, 255, 255, 1])],
    ['a head alone', Buffer.from([0, 0, 0, 2, 123, 125])],
    ['no JSON', frame('x')],
    ['a list', frame('[]')],
    ['a number as id', frame('{"id":1}')],
    ['an empty id', frame('{"id":""}')],
    ['a list as key', frame('{"key":[]}')],
    ['a negative timestamp', frame('{"timestamp":-1}')],
    ['a number as header', frame('{"headers":{"a":1}}')],
    ['attempt 0', frame('{"attempt":0}')],
    ['a text as attempt', frame('{"attempt":{"g":"1"}}')],
    ['a fraction as resend', frame('{"resend":0.5}')],
    ['numbers as groups', frame('{"except":[1]}')],
    ['a tombstone with a payload', frame('{"tombstone":true}', 'x')],
    ['a good frame and a broken one', Buffer.concat([frame('{}', 'x'), Buffer.from([1])])],
  ])('refuses %s', (_what, body) => {
    expect(() => [...decodeBatch(body)]).toThrow('malformed batch')
  })

  it('survives any truncation and any changed byte: a record list or a clear refusal, nothing else', () => {
    const body = encodeBatch(outgoing.map((one) => ({ record: one, attempt: 1, unanswered: 0, except: undefined })))
    const attempt = (bytes: Buffer): void => {
      try {
        Array.from(decodeBatch(bytes))
      } catch (error) {
        expect((error as Error).message).toContain('malformed batch')
      }
    }
    for (let end = 0; end < body.length; end += 1) attempt(body.subarray(0, end))
    for (let at = 0; at < body.length; at += 1) {
      const changed = Buffer.from(body)
      changed[at] = (changed[at] as number) ^ 0xff
      attempt(changed)
    }
  })
})
