import { Transport } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import http from '../src/index.js'
import { checkEndpoints, checkListen, checkRoutes, defaultListen } from '../src/option-checks.js'

function open(url: string, environment: Record<string, string> = {}, options: Record<string, unknown> = {}): Transport {
  return new Transport(http, url, { environment, options })
}

describe('options', () => {
  it.each([
    ['http://127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['http://localhost:8080/base', { host: '127.0.0.1', port: 8080 }],
    ['http://[::1]:8080', { host: '::1', port: 8080 }],
    ['http://billing.svc:9000', { host: '0.0.0.0', port: 9000 }],
    ['http://billing.svc', { host: '0.0.0.0', port: 80 }],
    ['https://billing.svc', { host: '0.0.0.0', port: 443 }],
  ])('a loop of %s listens at its own loopback address, else on all interfaces', (url, expected) => {
    expect(defaultListen(url)).toEqual(expected)
  })

  it('takes host:port to listen, and nothing else', () => {
    expect(checkListen('0.0.0.0:8080')).toEqual({ value: { host: '0.0.0.0', port: 8080 } })
    expect(checkListen('[::]:0')).toEqual({ value: { host: '::', port: 0 } })
    expect(checkListen(':80')).toEqual({ value: { host: '0.0.0.0', port: 80 } })
    for (const bad of ['8080', 'host', 'host:99999', 'host:x', 'http://h:1', '', 8080, null])
      expect(checkListen(bad)).toContain('host:port')
  })

  it('reads routes as an object or JSON', () => {
    const routes = { orders: { billing: ['http://b1:8080/', 'https://b2/base'], audit: 'http://a1' } }
    const expected = { orders: { billing: ['http://b1:8080', 'https://b2/base'], audit: ['http://a1'] } }
    for (const raw of [routes, JSON.stringify(routes)]) {
      const checked = checkRoutes(raw)
      expect(JSON.parse(JSON.stringify(checked))).toEqual({ value: expected })
    }
    for (const bad of [
      '{',
      '[]',
      'null',
      { t: 'http://a' },
      { t: { g: [] } },
      { t: { g: ['ftp://a'] } },
      { t: { g: ['http://u:p@a'] } },
      { t: { g: [1] } },
    ]) {
      expect(checkRoutes(bad)).toContain('topic -> group')
    }
  })

  it('reads endpoints in their short and long forms', () => {
    const checked = checkEndpoints(
      '{"a":"http://x/y","b":[{"url":"https://z","method":"GET","contentType":"text/plain","token":"t"},"http://w"]}',
    )
    expect(JSON.parse(JSON.stringify(checked))).toEqual({
      value: {
        a: [{ url: 'http://x/y', method: 'POST' }],
        b: [
          { url: 'https://z', method: 'GET', contentType: 'text/plain', token: 't' },
          { url: 'http://w', method: 'POST' },
        ],
      },
    })
    for (const bad of [
      { a: [] },
      { a: 'nowhere' },
      { a: { url: 'http://x', method: 'PUT' } },
      { a: { url: 'http://x', other: 1 } },
      { a: { url: 'http://x', token: 1 } },
    ]) {
      expect(checkEndpoints(bad)).toContain('topic -> URL')
    }
  })

  it('reports what does not go together, with the names', () => {
    expect(() => open('http://h', { HTTP_ROUTES: '{' })).toThrow('HTTP_ROUTES')
    expect(() => open('http://h', { HTTP_LISTEN: 'x' })).toThrow('HTTP_LISTEN')
    expect(() => open('http://h?listenTlsCertFile=a')).toThrow('listenTlsKeyFile')
    expect(() => open('http://h?maxPayloadBytes=9999999')).toThrow('maxRequestBytes')
    expect(() => open('http://h?conections=3')).toThrow("did you mean 'connections'")
    expect(() => open('ftp://h')).toThrow('http://')
  })

  it('has its variables and its default address', () => {
    expect(http.environmentUrl({ HTTP_URL: 'http://h:1' })).toBe('http://h:1')
    expect(http.environmentUrl({})).toBeUndefined()
    expect(http.defaultUrl).toBe('http://127.0.0.1:8080')
  })
})
