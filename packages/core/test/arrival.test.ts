import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  arrivedAttempts,
  arrivedHeaders,
  arrivedId,
  arrivedKey,
  arrivedReplyTo,
  arrivedTimestamp,
} from '../src/arrival/arrived.js'
import { Delivery, type DeliveryFields } from '../src/consumer/delivery.js'
import { StreamError } from '../src/errors.js'
import { printableLogger } from '../src/logger.js'
import { Problems } from '../src/options/problems.js'
import { printable } from '../src/printable.js'
import { checkSendOptions } from '../src/producer/send-options.js'

const sha = (text: string): string => `sha256-${createHash('sha256').update(text).digest('hex')}`
const assignment = { topic: 'orders', partition: 0, epoch: 1 }
const fields: DeliveryFields = {
  id: undefined,
  key: undefined,
  payload: undefined,
  headers: {},
  timestamp: undefined,
  position: 7,
  native: undefined,
}
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 2000 }),
  fc.string(),
  fc.string({ minLength: 250, maxLength: 400 }),
)

describe('what arrives obeys the rules of sending', () => {
  it('an id of bytes is their text; bytes that are none have a digest each', () => {
    const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')
    expect(arrivedId(Buffer.from('bestellung-ä'))).toBe('bestellung-ä')
    expect(arrivedId(Buffer.from('sent \ufffd'))).toBe('sent \ufffd')
    expect(arrivedId(Buffer.alloc(0))).toBeUndefined()
    expect(arrivedId(Buffer.from('a\r\nb'))).toBe(sha('a\r\nb'))
    const binary = ['ff', 'fe', '92345678'].map((hex) => arrivedId(bytes(hex)))
    expect(new Set(binary).size).toBe(3)
    expect(binary[2]).toBe(`sha256-${createHash('sha256').update(bytes('92345678')).digest('hex')}`)
    expect(arrivedId(binary[2])).toBe(binary[2])
  })

  it('whatever is received can be sent again: id, key, headers, timestamp', () => {
    const arrival = fc.record({
      id: fc.option(anyText, { nil: undefined }),
      key: fc.option(anyText, { nil: undefined }),
      headers: fc.dictionary(
        anyText.filter((name) => !name.startsWith('streamswitch-')),
        anyText,
        { maxKeys: 40 },
      ),
      timestamp: fc.anything(),
      brokerTimestamp: fc.anything(),
      replyTo: fc.option(anyText, { nil: undefined }),
      priorAttempts: fc.option(fc.oneof(fc.double(), fc.integer()), { nil: undefined }),
    })
    fc.assert(
      fc.property(arrival, (raw) => {
        const { id, key, headers, timestamp, attempt } = new Delivery(assignment, {
          ...fields,
          ...raw,
        } as DeliveryFields)
        checkSendOptions({ id, headers, timestamp, ...(key === undefined ? {} : { key }) }, 'orders')
        expect(attempt).toBeGreaterThanOrEqual(0)
        expect(Number.isSafeInteger(attempt)).toBe(true)
        expect(new Date(timestamp).getTime()).toBe(timestamp)
      }),
      { numRuns: 500 },
    )
  })

  it('what may be sent arrives as it was sent', () => {
    const sendable = fc.record({
      id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 }).filter((id) => Buffer.byteLength(id) <= 256),
      key: fc.string({ unit: 'grapheme', maxLength: 200 }).filter((key) => Buffer.byteLength(key) <= 1024),
      headers: fc.dictionary(fc.string({ minLength: 1, maxLength: 256 }), fc.string({ unit: 'grapheme' }), {
        maxKeys: 20,
      }),
      timestamp: fc.integer({ min: 0, max: 8_640_000_000_000_000 }),
    })
    fc.assert(
      fc.property(sendable, (sent) => {
        const options = { ...sent, headers: { ...sent.headers } }
        for (const name of Object.keys(options.headers))
          if (name.startsWith('streamswitch-')) delete options.headers[name]
        const received = new Delivery(assignment, { ...fields, ...options })
        expect([received.id, received.key, received.headers, received.timestamp]).toEqual([
          options.id,
          options.key,
          options.headers,
          options.timestamp,
        ])
      }),
    )
  })
})

describe('ids', () => {
  it.each([
    ['an empty one is none', '', undefined],
    ['256 bytes are kept', 'x'.repeat(256), 'x'.repeat(256)],
    ['257 bytes become a digest', 'x'.repeat(257), sha('x'.repeat(257))],
    ['bytes count, not characters', 'é'.repeat(129), sha('é'.repeat(129))],
    ['control characters become a digest', 'a\r\nERROR forged', sha('a\r\nERROR forged')],
    ['an escape sequence becomes a digest', '\u001b[2J', sha('\u001b[2J')],
    ['a digest stays one', sha('x'), sha('x')],
  ])('%s', (_title, id, expected) => {
    expect(arrivedId(id)).toBe(expected)
  })

  it('lone surrogates become digests that differ', () => {
    expect(arrivedId('\ud800')).toMatch(/^sha256-/)
    expect(arrivedId('\ud800')).not.toBe(arrivedId('\udfff'))
  })

  it('messages without one are told apart by their places', () => {
    const made = [1, 2, 3].map((position) => new Delivery(assignment, { ...fields, id: '', position }).id)
    expect(made).toEqual(['orders/0/1', 'orders/0/2', 'orders/0/3'])
  })

  it('4 MB of id cost 71 characters to remember', () => {
    expect(new Delivery(assignment, { ...fields, id: 'i'.repeat(4_000_000) }).id).toHaveLength(71)
  })
})

describe('keys', () => {
  it('the empty one is a key, and 1,024 bytes are kept; more become a digest, the same for the same key', () => {
    expect(arrivedKey('')).toBe('')
    expect(arrivedKey('k'.repeat(1024))).toBe('k'.repeat(1024))
    expect(arrivedKey('k'.repeat(1025))).toBe(sha('k'.repeat(1025)))
    expect(arrivedKey(undefined)).toBeUndefined()
  })
})

describe('timestamps', () => {
  it.each([
    [0, 0],
    [1767225600000, 1767225600000],
    ['1767225600000', 1767225600000],
    [1767225600000n, 1767225600000],
    [new Date(5), 5],
    [8_640_000_000_000_000, 8_640_000_000_000_000],
  ])('%s is understood', (sender, expected) => {
    expect(arrivedTimestamp(sender, 99)).toBe(expected)
  })

  it.each([
    'abc',
    '',
    '-1',
    -1,
    1.5,
    Number.NaN,
    Infinity,
    '9'.repeat(400),
    2 ** 64 - 1,
    2n ** 64n - 1n,
    8_640_000_000_000_001,
    '0x10',
    '1e3',
    new Date(Number.NaN),
    new Date(-1),
    null,
    {},
    [1],
  ])("%s counts as not said: the broker's is taken", (sender) => {
    expect(arrivedTimestamp(sender, 99)).toBe(99)
  })

  it('is now where nobody says anything that can be', () => {
    const before = Date.now()
    expect(arrivedTimestamp('abc', -1)).toBeGreaterThanOrEqual(before)
  })
})

describe('attempts and reply addresses', () => {
  it('are taken where they can be', () => {
    expect([3, 0, -1, 1.5, Number.NaN, undefined, 2 ** 60].map(arrivedAttempts)).toEqual([
      3, 0, 0, 0, 0, 0, 1_000_000_000,
    ])
    expect(['a#1', '', 'a\nb', 'x'.repeat(1025), '\ud800', undefined].map(arrivedReplyTo)).toEqual([
      'a#1',
      ...Array(5).fill(undefined),
    ])
  })
})

describe('headers', () => {
  it('are kept as the same object where nothing has to change', () => {
    const headers = { tenant: 'acme', note: 'Grüße', 'streamswitch-error': 'x'.repeat(1000) }
    expect(arrivedHeaders(headers)).toEqual({ headers, leftOut: 0 })
    expect(arrivedHeaders(headers).headers).toBe(headers)
    const large = { large: 'é'.repeat(16_000) }
    expect(arrivedHeaders(large).headers).toBe(large)
  })

  it('beyond 32 KiB, and with names that can not be sent, are left out and counted', () => {
    const headers = {
      first: 'a',
      huge: 'x'.repeat(40_000),
      'new\nline': '1',
      '': '2',
      ['n'.repeat(257)]: '3',
      last: 'b',
    }
    expect(arrivedHeaders(headers)).toEqual({ headers: { first: 'a', last: 'b' }, leftOut: 4 })
  })

  it('reserved ones have room of their own: those of a dead letter are not crowded out', () => {
    const headers = {
      large: 'x'.repeat(32_000),
      'streamswitch-error': 'e'.repeat(3000),
      'streamswitch-origin-topic': 'orders',
    }
    expect(arrivedHeaders(headers)).toEqual({ headers, leftOut: 0 })
    const many = Object.fromEntries(
      Array.from({ length: 1000 }, (_, index) => [`streamswitch-${index}`, 'x'.repeat(50)]),
    )
    const { headers: kept, leftOut } = arrivedHeaders({ ...many, tenant: 'acme' })
    expect(kept['tenant']).toBe('acme')
    expect(leftOut).toBeGreaterThan(500)
  })

  it('a header called __proto__ stays one', () => {
    const headers = JSON.parse('{"__proto__":"x","bad\\nname":"y"}')
    const { headers: kept } = arrivedHeaders(headers)
    expect(Object.keys(kept)).toEqual(['__proto__'])
    expect(({} as { x?: unknown }).x).toBeUndefined()
  })
})

describe('control characters from outside', () => {
  it('are escaped in every text that is shown', () => {
    expect(printable('plain text, Grüße 🎉')).toBe('plain text, Grüße 🎉')
    expect(printable('a\r\nb\tc\u001b[31m\u0000\u009b\u2028\u202e\ud800')).toBe(
      'a\\r\\nb\\tc\\u001b[31m\\u0000\\u009b\\u2028\\u202e\\ud800',
    )
  })

  it('never stand in an error, which keeps its own line breaks between points', () => {
    const error = new StreamError('the server said: no\r\n2026-01-01 ERROR forged \u001b[2J', { code: 'UNKNOWN' })
    expect(error.message).toBe('the server said: no\\r\\n2026-01-01 ERROR forged \\u001b[2J')
    expect(error.stack?.split('\n')[0]).toContain('forged')
    const problems = new Problems()
    problems.add('a\nb', 'wrong')
    problems.add('c', 'wrong\r\ntoo')
    expect(() => problems.throwIfAny('options')).toThrow('options:\n  - a\\nb: wrong\n  - c: wrong\\r\\ntoo')
  })

  it('never stand in a log line, whatever logger is given', () => {
    const lines: string[] = []
    const write = (line: string): void => void lines.push(line)
    const logger = printableLogger({ debug: write, info: write, warn: write, error: write })
    expect(printableLogger(logger)).toBe(logger)
    for (const level of ['debug', 'info', 'warn', 'error'] as const) logger[level](`${level}: a\nb\u001b[1m`)
    expect(lines).toEqual(['debug', 'info', 'warn', 'error'].map((level) => `${level}: a\\nb\\u001b[1m`))
  })
})
