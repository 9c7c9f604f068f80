import { inspect } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesCodec, jsonCodec, textCodec } from '../src/codec.js'
import { consumerFields } from '../src/consumer/consumer-options.js'
import { ValueDecoder } from '../src/consumer/value-decoder.js'
import { isStreamError } from '../src/errors.js'
import { isPortableName, requirePortableName } from '../src/names.js'
import type { OptionFields } from '../src/options/fields.js'
import { resolveOptions } from '../src/options/resolve.js'
import { producerFields } from '../src/producer/producer-options.js'
import { checkSendOptions } from '../src/producer/send-options.js'
import { transportFields } from '../src/transport/transport-options.js'
import { parseTransportUrl, redactUrl } from '../src/transport/url.js'
import { deliveriesOf } from './support/scripted-adapter.js'

/** What a call that may refuse its input came to: its result, or its error, which must be one of ours. */
function outcomeOf<T>(call: () => T): { readonly value: T } | { readonly error: Error } {
  try {
    return { value: call() }
  } catch (error) {
    expect(isStreamError(error), `a StreamError, not ${inspect(error)}`).toBe(true)
    expect((error as Error).message).not.toBe('')
    return { error: error as Error }
  }
}

const anyText = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' }), fc.string())
const anything = fc.anything({
  withBigInt: true,
  withDate: true,
  withMap: true,
  withNullPrototype: true,
  withTypedArray: true,
})
/** Objects as an attacker writes them. */
const hostileKey = fc.constantFrom(
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'then',
  'toJSON',
)

describe('codecs', () => {
  it('json: what it can say comes back, prototypes untouched', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof({ depthSize: 'small' }, fc.jsonValue(), tie('object')),
      object: fc.dictionary(fc.oneof(hostileKey, fc.string()), tie('any')),
    })).any
    fc.assert(
      fc.property(value, (sent) => {
        const received = jsonCodec.decode(jsonCodec.encode(sent))
        expect(JSON.stringify(received)).toBe(JSON.stringify(sent))
        expect(Object.getOwnPropertyNames(Object.prototype)).not.toContain('polluted')
      }),
    )
    const attack = jsonCodec.decode(
      Buffer.from('{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}'),
    )
    expect(Object.hasOwn(attack as object, '__proto__'), 'nothing but a name').toBe(true)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
  })

  it('text: comes back, or is refused; bytes come back', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
        ),
        (text) => {
          let bytes: Buffer
          try {
            bytes = textCodec.encode(text)
          } catch {
            expect(text.isWellFormed()).toBe(false)
            return
          }
          expect(textCodec.decode(bytes)).toBe(text)
        },
      ),
    )
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(Buffer.compare(bytesCodec.decode(bytesCodec.encode(bytes)) as Buffer, bytes)).toBe(0)
      }),
    )
  })

  it('any bytes are decoded without a change, or refused with SERIALIZATION', () => {
    const assignment = { topic: 'orders', partition: 0, epoch: 1 }
    fc.assert(
      fc.property(fc.constantFrom('json', 'text', 'bytes'), fc.uint8Array({ maxLength: 40 }), (codec, bytes) => {
        const [delivery] = deliveriesOf(assignment, ['a1'])
        if (delivery === undefined) throw new Error('no delivery')
        Object.defineProperty(delivery, 'bytes', { value: Buffer.from(bytes) })
        const outcome = outcomeOf(() => void new ValueDecoder(codec, undefined).decode(delivery))
        if ('error' in outcome) expect(outcome.error).toMatchObject({ code: 'SERIALIZATION' })
        else if (codec === 'text') expect(Buffer.from(delivery.value as string).equals(Buffer.from(bytes))).toBe(true)
        else if (codec === 'json') expect(JSON.stringify(delivery.value)).not.toContain('\ufffd')
      }),
    )
  })
})

describe('options', () => {
  const sets: readonly (readonly [string, OptionFields])[] = [
    ['producer', producerFields],
    ['consumer', consumerFields],
    ['transport', transportFields],
  ]
  it.each(sets)('of a %s are taken or refused, whatever they are', (_name, fields) => {
    const name = fc.oneof(fc.constantFrom(...Object.keys(fields)), hostileKey, fc.string())
    fc.assert(
      fc.property(fc.dictionary(name, anything), fc.dictionary(name, anyText), (code, url) => {
        const read = () =>
          resolveOptions(
            fields,
            [
              { from: 'code', values: code },
              { from: 'url', values: url },
            ],
            {},
            { subject: 'a test' },
          )
        const outcome = outcomeOf(read)
        if ('error' in outcome) expect(outcome.error).toMatchObject({ code: 'INVALID_ARGUMENT' })
        else expect(Object.keys(outcome.value)).toEqual(Object.keys(fields))
      }),
    )
  })

  it('of a send are taken or refused; a header or id with a control character, and lone surrogates, never pass', () => {
    const headers = fc.oneof(fc.dictionary(fc.oneof(anyText, hostileKey), fc.oneof(anyText, anything)), anything)
    const options = fc.record(
      {
        key: fc.oneof(anyText, anything),
        id: fc.oneof(anyText, anything),
        headers,
        partition: anything,
        timestamp: anything,
        timeoutMs: anything,
        sequence: anything,
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(options, (given) => {
        const outcome = outcomeOf(() => checkSendOptions(given as never, 'orders'))
        if ('error' in outcome) return
        // biome-ignore lint/suspicious/noControlCharactersInRegex: what must not have passed
        const control = /[\u0000-\u001f\u007f]/
        if (typeof given.id === 'string') expect(given.id).not.toMatch(control)
        for (const [name, value] of Object.entries((given.headers ?? {}) as Record<string, unknown>)) {
          expect(name).not.toMatch(control)
          expect(name.toLowerCase().startsWith('streamswitch-')).toBe(false)
          expect(typeof value === 'string' && value.isWellFormed()).toBe(true)
        }
      }),
    )
    for (const name of ['a\r\nset-cookie: b', 'a\0', '\n', 'a\u007f'])
      expect(() => checkSendOptions({ headers: { [name]: 'x' } }, 'orders')).toThrow(/control characters/)
  })

  it('names are portable or refused', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, anything), (name) => {
        const outcome = outcomeOf(() => requirePortableName('topic', name))
        expect('value' in outcome).toBe(isPortableName(name))
      }),
    )
  })
})

describe('URLs', () => {
  const secret = 'S3cr3t/@:?#%'
  const part = fc.string({ unit: fc.constantFrom(...'abcXYZ019-._~ äß%/?#@:&=+'), minLength: 1, maxLength: 12 })

  it('say what was put into them', () => {
    const query = fc.dictionary(fc.stringMatching(/^[a-z][a-zA-Z]{0,8}$/), part, { maxKeys: 3, noNullPrototype: true })
    fc.assert(
      fc.property(
        part,
        part,
        fc.integer({ min: 1, max: 65_535 }),
        part,
        query,
        (username, password, port, path, values) => {
          const search = new URLSearchParams(values).toString()
          const text = `redis://${encodeURIComponent(username)}:${encodeURIComponent(password)}@host-1:${port},[::1]/${encodeURIComponent(path)}${search === '' ? '' : `?${search}`}`
          const url = parseTransportUrl(text)
          expect(url).toMatchObject({
            scheme: 'redis',
            username,
            password,
            hosts: [
              { host: 'host-1', port },
              { host: '::1', port: undefined },
            ],
            path,
          })
          expect({ ...url.query }).toEqual(values)
        },
      ),
    )
  })

  it('are taken or refused, whatever they are, and never show what stands where a password belongs', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        outcomeOf(() => parseTransportUrl(text))
      }),
    )
    const noise = fc.string({ unit: fc.constantFrom(...'ab1:/?#@&=%,[] .'), maxLength: 12 })
    fc.assert(
      fc.property(fc.constantFrom('redis://', 'kafka://', 'amqp+x://'), noise, noise, (scheme, user, rest) => {
        for (const text of [
          `${scheme}${user.replaceAll(/[:@]/g, '')}:${secret}@host${rest}`,
          `${scheme}host?password=${encodeURIComponent(secret)}&a=${rest}`,
        ]) {
          expect(redactUrl(text)).not.toContain('S3cr3t')
          const outcome = outcomeOf(() => parseTransportUrl(text))
          const shown = 'error' in outcome ? inspect(outcome.error, { depth: 9 }) : outcome.value.redacted
          expect(shown).not.toContain('S3cr3t')
        }
      }),
    )
  })
})
