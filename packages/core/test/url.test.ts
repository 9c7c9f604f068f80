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
    ['redis:/127.0.0.1', "doesn't begin with scheme://"],
    ['redis://host:0', 'port 0'],
    ['redis://host:70000', 'port 70000'],
    ['redis://host:abc', 'no host'],
    ['redis://a,,b', 'no host'],
    ['redis://%zz:x@host', "user isn't percent-encoded"],
    ['redis://u:%zz@host', "password isn't percent-encoded"],
    ['redis://host?a=1&a=2', "'a' stands in it twice"],
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
    expect(redactUrl('redis://h?password=hunter2&sslKey=k&clientId=c')).toBe(
      'redis://h?password=***&sslKey=***&clientId=c',
    )
  })

  it('a query option named like a prototype key is just an option', () => {
    const { query } = parseTransportUrl('redis://h?__proto__=1')
    expect(Object.keys(query)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['1']).toBeUndefined()
  })
})
