import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isStreamError } from '../src/errors.js'
import { parseTransportUrl, redactUrl } from '../src/transport/url.js'

describe('transport URLs', () => {
  it('takes hosts, credentials, path and query apart', () => {
    expect(
      parseTransportUrl('kafka://us%40er:p%2Fw@b1:9092,[::1]:9093,b3/a%20b?clientId=x%26y&compression=gzip'),
    ).toEqual({
      scheme: 'kafka',
      hosts: [
        { host: 'b1', port: 9092 },
        { host: '::1', port: 9093 },
        { host: 'b3', port: undefined },
      ],
      username: 'us@er',
      password: 'p/w',
      path: 'a b',
      query: { clientId: 'x&y', compression: 'gzip' },
      redacted: 'kafka://us%40er:***@b1:9092,[::1]:9093,b3/a%20b?clientId=x%26y&compression=gzip',
    })
    expect(parseTransportUrl('memory://')).toMatchObject({ scheme: 'memory', hosts: [], path: '', username: undefined })
    expect(parseTransportUrl(' RABBITMQ-STREAM+TLS://h ').scheme).toBe('rabbitmq-stream+tls')
  })

  it.each([
    ['', "doesn't begin with scheme://"],
    ['redis', "doesn't begin with scheme://"],
    ['http://host/\ud800', 'it has a lone surrogate'],
    ['redis:/127.0.0.1', "doesn't begin with scheme://"],
    ['redis://host:0', 'not between 1 and 65535'],
    ['redis://host:70000', 'not between 1 and 65535'],
    ['redis://host:abc', 'its port is not a number'],
    ['redis://a,,b', 'a host in it is empty'],
    ['redis://host#fragment', 'percent-encode it as %23'],
    ['redis://host?password=a&b', 'percent-encoded (%26)'],
    ['redis://%zz:x@host', "user isn't percent-encoded"],
    ['redis://u:%zz@host', "password isn't percent-encoded"],
    ['redis://host?a=1&a=2', "'a' occurs twice"],
  ])('%s is refused: %s', (url, reason) => {
    expect(() => parseTransportUrl(url)).toThrow(reason)
    expect(() => parseTransportUrl(url)).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
  })

  it('never shows a password, however malformed the URL', () => {
    const secret = fc
      .string({ minLength: 6, maxLength: 20 })
      .filter(
        (text) =>
          text.trim().length === text.length &&
          text.length > 5 &&
          !'redis://user:***@hostmalformed transport URL'.includes(text),
      )
    fc.assert(
      fc.property(
        secret,
        fc.constantFrom('redis', 'kafka', 'nonsense'),
        fc.constantFrom('', ':1', ':x', '/p', '?a=1'),
        (password, scheme, tail) => {
          // A stack names files and functions: what stands in any of them says nothing.
          fc.pre(!String(new Error('none').stack).includes(password))
          const url = `${scheme}://user:${password}@host${tail}`
          expect(redactUrl(url)).not.toContain(password)
          try {
            expect(parseTransportUrl(url).redacted).not.toContain(password)
          } catch (error) {
            expect(isStreamError(error)).toBe(true)
            expect(String((error as Error).stack)).not.toContain(password)
          }
        },
      ),
    )
    for (const slip of ['redis:/user:hunter2@host', 'user:hunter2@host', 'redis//user:hunter2@host'])
      expect(redactUrl(slip)).not.toContain('hunter2')
    expect(redactUrl('redis://h?clientId=c&password=hunter2&sslKey=k')).toBe('redis://h?clientId=c&password=***')
  })

  it('shows no part of a password that is not percent-encoded, wherever it is cut', () => {
    const part = fc.stringMatching(/^[A-Z0-9]{7}$/)
    const cut = fc.constantFrom('#', '?', '/', '@', ':', ',', '&', '=', '%', '[', ']', '\\', ' ', ';', '\n', '+')
    const frame = fc.constantFrom(
      (secret: string) => `redis://app:${secret}@127.0.0.1:6379`,
      (secret: string) => `redis://app:${secret}@127.0.0.1:6379/0?clientId=c`,
      (secret: string) => `redis://:${secret}@127.0.0.1:6379`,
      (secret: string) => `redis://app:x${secret}`,
      (secret: string) => `kafka://b1:9092,app:x${secret}@b2:9092`,
      (secret: string) => `redis://h?clientId=c&password=${secret}`,
      (secret: string) => `redis:/app:${secret}@host`,
      (secret: string) => `app:${secret}@host:6379`,
    )
    fc.assert(
      fc.property(frame, part, cut, part, (make, first, between, second) => {
        const url = make(`${first}${between}${second}`)
        // What follows the last '@' of a URL without any other is its host.
        fc.pre(!(url.endsWith(second) && between === '@'))
        const shown = [redactUrl(url)]
        try {
          shown.push(parseTransportUrl(url).redacted)
        } catch (error) {
          expect(isStreamError(error)).toBe(true)
          shown.push(String((error as Error).stack))
        }
        for (const text of shown) {
          expect(text).not.toContain(first)
          expect(text).not.toContain(second)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it.each([
    ['redis://app:Sup3rSecret#1@127.0.0.1:6379', 'redis://***'],
    ['redis://app:Sup3rSecret', 'redis://***'],
    ['redis://Sup3rSecret@host', 'redis://***@host'],
    ['kafka://app:x@b1:9092,b2:9092', 'kafka://app:***@b1:9092,b2:9092'],
    ['redis://127.0.0.1:6379/0?prefix=p', 'redis://127.0.0.1:6379/0?prefix=p'],
    ['127.0.0.1:6379', '127.0.0.1:6379'],
  ])('%s is shown as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown)
  })

  it('an unencoded # is refused with what to do', () => {
    expect(() => parseTransportUrl('redis://app:Sup3rSecret#1@127.0.0.1:6379')).toThrow(/percent-encode it as %23/)
  })

  it('a query option named like a prototype key is just an option', () => {
    const { query } = parseTransportUrl('redis://h?__proto__=1')
    expect(Object.keys(query)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['1']).toBeUndefined()
  })
})
