import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { type RawRequest, rawRequest } from './support/raw-request.js'
import { ServerProcess, type ServerSpec } from './support/server-process.js'

const LOOPS: ServerSpec['loops'] = [
  { topic: 'orders', group: 'billing', codec: 'bytes' },
  { topic: 'pings', group: 'web', http: { method: 'GET' } },
]
const APP = 'https://app.example'
const EVIL = 'http://evil.example'

/** None of them may be handled, and no page may read the answer. */
async function expectRefused(
  server: ServerProcess,
  requests: readonly (readonly [what: string, RawRequest, statuses?: readonly number[]])[],
) {
  const before = await server.stats()
  for (const [what, request, statuses = [403]] of requests) {
    const answer = await rawRequest(server.url, request)
    expect(statuses, `${what}: ${answer.status} ${answer.body}`).toContain(answer.status)
    expect(
      Object.keys(answer.headers).filter((name) => name.startsWith('access-control-')),
      what,
    ).toEqual([])
  }
  expect((await server.stats()).handled).toBe(before.handled)
}

const get = (target: string, ...headers: string[]): RawRequest => ({ method: 'GET', target, headers, body: '' })
const post = (...headers: string[]): RawRequest => ({ headers })

describe('requests that a browser sends for a page', () => {
  let server: ServerProcess

  beforeAll(async () => {
    server = await ServerProcess.start({ loops: LOOPS })
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it('are refused by their origin, whatever it is and however it is written', async () => {
    const own = `Origin: ${server.url}`
    await expectRefused(server, [
      ['a form', post(`Origin: ${EVIL}`, 'Content-Type: text/plain')],
      ['with all that browsers say', post(`Origin: ${EVIL}`, 'Sec-Fetch-Site: cross-site', 'Content-Type: text/plain')],
      ['a sandboxed page', post('Origin: null')],
      ['a file', post('Origin: file://')],
      ['an extension', post('Origin: chrome-extension://abcdefghijklmnop')],
      ['of this server', post(own)],
      ['lower case', post(`origin: ${EVIL}`)],
      ['upper case', post(`ORIGIN:${EVIL}`)],
      ['empty', post('Origin:')],
      ['blank', post('Origin:   ')],
      ['two', post('Origin: null', `Origin: ${EVIL}`)],
      ['behind a line without a value', post('X: ', `oRiGiN: ${EVIL}`)],
      ['with Sec-Fetch-Site: none', post(`Origin: ${EVIL}`, 'Sec-Fetch-Site: none')],
      ['by GET', get('/pings/web?a=1', `Origin: ${EVIL}`)],
      ['by GET, not simple', get('/pings/web?a=1', `Origin: ${EVIL}`, 'Sec-Fetch-Mode: cors')],
      ['by HEAD', { ...get('/pings/web?a=1', `Origin: ${EVIL}`), method: 'HEAD' }],
      [
        'a preflight',
        { ...get('/orders/billing', `Origin: ${EVIL}`, 'Access-Control-Request-Method: POST'), method: 'OPTIONS' },
      ],
      ['OPTIONS', { ...get('*', `Origin: ${EVIL}`), method: 'OPTIONS' }, [400, 403]],
      ['PUT', { ...post(`Origin: ${EVIL}`), method: 'PUT' }],
      [
        'a WebSocket',
        get(
          '/pings/web',
          'Upgrade: websocket',
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
          'Sec-WebSocket-Version: 13',
          `Origin: ${EVIL}`,
        ),
      ],
      ['in absolute form', { ...post(`Origin: ${EVIL}`), target: `${server.url}/orders/billing` }],
      ['with escapes in the path', { ...post(`Origin: ${EVIL}`), target: '/%6Frders/billing' }],
      ['HTTP/1.0', { ...post(`Host: localhost`, `Origin: ${EVIL}`), version: '1.0' }],
      ['no such topic', { ...post(`Origin: ${EVIL}`), target: '/invented' }],
      ['health', get('/healthz', `Origin: ${EVIL}`)],
      [
        'behind more headers than are taken',
        post(...Array.from({ length: 1_200 }, (_, index) => `x-${index}: 1`), `Origin: ${EVIL}`),
        [403, 413],
      ],
    ])
  })

  it('are refused by Sec-Fetch-Site where they have no origin: images, links, frames', async () => {
    await expectRefused(server, [
      [
        'an image',
        get('/pings/web?a=1', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: no-cors', 'Sec-Fetch-Dest: image'),
      ],
      ['a link', get('/pings/web?a=1', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-User: ?1')],
      ['of a sister site', get('/pings/web', 'Sec-Fetch-Site: same-site')],
      ['of this site', get('/pings/web', 'Sec-Fetch-Site: same-origin')],
      ['in capitals', get('/pings/web', 'SEC-FETCH-SITE: cross-site')],
      ['a value in capitals', get('/pings/web', 'Sec-Fetch-Site: None')],
      ['an unknown value', get('/pings/web', 'Sec-Fetch-Site: fenced')],
      ['empty', get('/pings/web', 'Sec-Fetch-Site:')],
      ['two', get('/pings/web', 'Sec-Fetch-Site: none', 'Sec-Fetch-Site: cross-site')],
      ['two, the other way round', get('/pings/web', 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Site: none')],
      ['POST', post('Sec-Fetch-Site: cross-site', 'Content-Type: text/plain')],
    ])
  })

  it('are told from those of others: no page, or an address that the user has typed', async () => {
    const before = await server.stats()
    expect((await rawRequest(server.url)).status).toBe(204)
    expect((await rawRequest(server.url, post('Sec-Fetch-Site: none'))).status).toBe(204)
    expect((await rawRequest(server.url, get('/pings/web?a=1'))).status).toBe(204)
    expect(
      (await rawRequest(server.url, get('/pings/web?a=1', 'Sec-Fetch-Site: none', 'Sec-Fetch-Mode: navigate'))).status,
    ).toBe(204)
    expect((await rawRequest(server.url, get('/healthz', 'sec-fetch-site: none'))).status).toBe(200)
    expect((await server.stats()).handled).toBe(before.handled + 4)
  })
})

describe('origins that are named', () => {
  const start = (options: object = {}, loops = LOOPS) =>
    ServerProcess.start({ options: { allowedOrigins: [APP, 'http://localhost:3000'], ...options }, loops })
  const preflight = (origin: string, method = 'POST', ...headers: string[]): RawRequest => ({
    ...get('/orders/billing', `Origin: ${origin}`, `Access-Control-Request-Method: ${method}`, ...headers),
    method: 'OPTIONS',
  })

  it('may ask, send and read the answers', async () => {
    await using server = await start()
    const asked = await rawRequest(
      server.url,
      preflight(APP, 'POST', 'Access-Control-Request-Headers: authorization, content-type, idempotency-key'),
    )
    expect(asked).toMatchObject({
      status: 204,
      headers: {
        'access-control-allow-origin': APP,
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': 'authorization, content-type, idempotency-key',
        'access-control-max-age': '600',
        vary: expect.stringContaining('Origin'),
      },
    })
    expect(asked.headers).not.toHaveProperty('access-control-allow-credentials')
    const sent = await rawRequest(server.url, post(`Origin: ${APP}`, 'Sec-Fetch-Site: cross-site'))
    expect(sent).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': APP, vary: 'Origin' } })
    const read = await rawRequest(server.url, get('/pings/web?a=1', 'Origin: http://localhost:3000'))
    expect(read).toMatchObject({ status: 204, headers: { 'access-control-allow-origin': 'http://localhost:3000' } })
    const wrong = await rawRequest(server.url, { ...post(`Origin: ${APP}`), target: '/unknown' })
    expect(wrong).toMatchObject({ status: 404, headers: { 'access-control-allow-origin': APP } })
    const batch = await rawRequest(server.url, {
      headers: [`Origin: ${APP}`, 'Content-Type: application/vnd.streamswitch.batch.v1'],
      body: '\0\0\0\x02{}\0\0\0\x011',
    })
    expect(batch).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': APP } })
    expect((await server.stats()).handled).toBe(3)
  })

  it('are exactly these, and no other that looks like one', async () => {
    await using server = await start()
    const others = [
      'http://app.example',
      'https://app.example:8443',
      'https://app.example.',
      'https://app.example/',
      'https://app.example.evil.example',
      'https://evil-app.example',
      'https://evil.app.example',
      'https://APP.example',
      'https://app.example@evil.example',
      `${APP}, ${EVIL}`,
      `${APP} ${EVIL}`,
      'null',
      'localhost:3000',
      'http://localhost',
    ]
    await expectRefused(server, [
      ...others.map((origin) => [origin, post(`Origin: ${origin}`)] as const),
      ...others.map((origin) => [`preflight of ${origin}`, preflight(origin)] as const),
      ['two headers', post(`Origin: ${APP}`, `Origin: ${EVIL}`)],
      [
        'an image of a named page: nothing says that it is',
        get('/pings/web', 'Sec-Fetch-Site: cross-site', `Referer: ${APP}/`),
      ],
      ['of this site, which is not named', get('/pings/web', 'Sec-Fetch-Site: same-origin')],
    ])
  })

  it('may be that of this server, whose pages send no origin with GET', async () => {
    await using server = await start({ allowedHosts: ['app.example', 'evil.example'] })
    expect(
      (await rawRequest(server.url, get('/pings/web', 'Host: app.example', 'Sec-Fetch-Site: same-origin'))).status,
    ).toBe(204)
    await expectRefused(server, [
      ['another host', get('/pings/web', 'Host: evil.example', 'Sec-Fetch-Site: same-origin')],
    ])
  })

  it('need the token as everybody does; the question before needs none, and the page reads that it is missing', async () => {
    await using server = await start({ listenToken: 'sesame' })
    expect((await rawRequest(server.url, preflight(APP))).status).toBe(204)
    const refused = await rawRequest(server.url, post(`Origin: ${APP}`))
    expect(refused).toMatchObject({ status: 401, headers: { 'access-control-allow-origin': APP } })
    const status = async (...headers: string[]) =>
      (await rawRequest(server.url, post('Authorization: Bearer sesame', ...headers))).status
    expect([await status(`Origin: ${APP}`), await status(`Origin: ${EVIL}`)]).toEqual([204, 403])
    expect((await server.stats()).handled).toBe(1)
  })

  it('read replies as they are written', async () => {
    await using server = await start({}, [{ topic: 'orders', group: 'billing', handler: 'reply' }])
    const answer = await rawRequest(server.url, {
      headers: [`Origin: ${APP}`, 'Accept: multipart/mixed', 'Content-Type: application/json'],
      body: '3',
    })
    expect(answer).toMatchObject({ status: 200, headers: { 'access-control-allow-origin': APP } })
    expect(answer.body).toContain('"xxx"')
  })
})

describe('a loop that takes requests of any page', () => {
  it('gets them alone: other loops of the server, and topics that they share, do not', async () => {
    const open = { http: { method: 'GET', allowBrowsers: true } }
    await using server = await ServerProcess.start({
      loops: [
        { topic: 'pixels', group: 'web', ...open },
        { topic: 'shared', group: 'web', ...open },
        { topic: 'shared', group: 'audit', http: { method: 'GET' } },
        { topic: { pattern: 'found-*' }, group: 'web', ...open },
        { topic: { pattern: 'hidden-*' }, group: 'web', http: { method: 'GET' } },
      ],
    })
    const image = ['Sec-Fetch-Site: cross-site', 'Sec-Fetch-Dest: image']
    for (const path of ['/pixels/web?a=1', '/pixels?a=1', '/shared/web', '/found-1', '/found-1/web'])
      expect((await rawRequest(server.url, get(path, ...image))).status, path).toBe(204)
    expect(
      (await rawRequest(server.url, { ...post(`Origin: ${EVIL}`, 'Content-Type: text/plain'), target: '/pixels' }))
        .status,
    ).toBe(204)
    await expectRefused(server, [
      ['all groups', get('/shared', ...image)],
      ['the other group', get('/shared/audit', ...image)],
      ['a pattern', get('/hidden-1', ...image)],
      ['nobody', get('/unknown', ...image)],
      ['another host', get('/pixels', 'Host: evil.example', ...image)],
    ])
  })

  const get0 = (options: object, http: object = { method: 'GET' }, topic: unknown = 'pings') =>
    ServerProcess.start({ options: { ...options }, loops: [{ topic, group: 'web', http }] })

  it('is one that takes GET and can be reached from other machines: it must say so, or ask for a token', async () => {
    const refused = { code: 'INVALID_ARGUMENT', message: expect.stringContaining('http.allowBrowsers: true') }
    for (const listen of ['0.0.0.0:0', '[::]:0']) await expect(get0({ listen })).rejects.toMatchObject(refused)
    await expect(get0({ listen: '0.0.0.0:0' }, undefined, { pattern: 'p-*' })).rejects.toMatchObject(refused)
    const options = [
      { listen: '0.0.0.0:0', listenToken: 'sesame' },
      { listen: '0.0.0.0:0', listenTokens: { web: 'sesame' } },
      { listen: '127.0.0.1:0' },
      { listen: 'localhost:0' },
    ]
    for (const one of options) await (await get0(one))[Symbol.asyncDispose]()
    for (const http of [{ method: 'GET', allowBrowsers: true }, { method: 'POST' }])
      await (await get0({ listen: '0.0.0.0:0' }, http))[Symbol.asyncDispose]()
  })

  it('is refused before it listens', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ listen: '0.0.0.0:0' })
    const opening = consume(transport, 'pings', 'web', () => {}, { http: { method: 'GET' } })
    await expect(opening).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    expect(transport.native).toMatchObject({ server: undefined })
  })
})

describe('the host of a request', () => {
  const host = (value: string, request: RawRequest = {}): RawRequest => ({
    ...request,
    headers: [`Host: ${value}`, ...(request.headers ?? [])],
  })

  it('must be one of this machine where the server listens on loopback', async () => {
    await using server = await ServerProcess.start({ loops: LOOPS })
    const { port } = server
    const allowed = [
      `127.0.0.1:${port}`,
      'localhost',
      `LOCALHOST:${port}`,
      'localhost.',
      'billing.localhost:1',
      '[::1]',
      `[0:0:0:0:0:0:0:1]:${port}`,
      '[::ffff:127.0.0.1]',
      '127.8.8.8',
      'localhost:',
    ]
    for (const one of allowed) expect((await rawRequest(server.url, host(one))).status, one).toBe(204)
    const refused = [
      'evil.example',
      `evil.example:${port}`,
      'evil.example.',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'evil-localhost',
      'evil.example#localhost',
      'localhost@evil.example',
      'evil.example/localhost',
      'localhost, evil.example',
      'localhost evil.example',
      '[::1].evil.example',
      '[::1',
      '2130706433',
      '0x7f.1',
      'localhost:80:80',
      'localhost%00.evil.example',
      '.localhost',
      '',
    ]
    await expectRefused(server, [
      ...refused.map((one) => [one, host(one), [400, 403]] as const),
      ['two hosts', { headers: ['Host: localhost', 'Host: evil.example'] }, [400]],
      ['two hosts, the other way round', { headers: ['Host: evil.example', 'hOST: localhost'] }, [400]],
      ['no host', { version: '1.0' }],
      ['absolute form', { target: 'http://evil.example/orders/billing' }],
      ['absolute form and another host', host('evil.example', { target: `${server.url}/orders/billing` })],
      [
        'by a header of proxies',
        host('evil.example', { headers: ['X-Forwarded-Host: localhost', 'Forwarded: host=localhost'] }),
      ],
      ['GET', host('evil.example', get('/pings/web'))],
      ['health', host('evil.example', get('/readyz'))],
    ])
  })

  it('may be any elsewhere, unless hosts are named', async () => {
    await using bed = new Bed()
    const open = await bed.open({ listen: '0.0.0.0:0' })
    await consume(open, 'orders', 'billing', () => {}, { codec: 'bytes' })
    const port = (open.native as { address: { port: number } }).address.port
    expect((await rawRequest(`http://127.0.0.1:${port}`, host('any.example'))).status).toBe(204)
    const named = await bed.open({ allowedHosts: 'billing.internal,*.shop.example,[::1]:8080,Other.example:81' })
    const handled: unknown[] = []
    await consume(named, 'orders', 'billing', ({ value }) => void handled.push(value), { codec: 'bytes' })
    const status = async (one: string) => (await rawRequest(named.base, host(one))).status
    const allowed = [
      'billing.internal',
      'Billing.Internal:99',
      'a.shop.example',
      'a.b.shop.example.',
      '[::1]:8080',
      'other.example:81',
    ]
    for (const one of allowed) expect(await status(one), one).toBe(204)
    const refused = [
      'localhost',
      '127.0.0.1',
      'shop.example',
      '.shop.example',
      'evilshop.example',
      '[::1]',
      '[::1]:8081',
      'other.example',
      'other.example:82',
    ]
    for (const one of refused) expect(await status(one), one).toBe(403)
    expect(handled).toHaveLength(allowed.length)
    const any = await bed.open({ allowedHosts: ['*'] })
    await consume(any, 'orders', 'billing', () => {}, { codec: 'bytes' })
    expect((await rawRequest(any.base, host('any.example'))).status).toBe(204)
  })
})
