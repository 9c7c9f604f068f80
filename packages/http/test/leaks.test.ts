import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import type { Message } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { curl } from './support/curl.js'
import { PlainReceiver } from './support/plain-receiver.js'

const SECRETS = ['S3cr3tQuery', 'a b+S3cr3t', 'S3cr3tToken', 'S3cr3tPart']
const QUERY = '?api_key=S3cr3tQuery&sig=a%20b%2BS3cr3t&S3cr3tPart'

/** All that a user may print of an error. */
function shown(error: unknown): string {
  return inspect(error, { depth: 20, showHidden: true })
}

function expectNoSecret(text: string): void {
  for (const secret of SECRETS) expect(text).not.toContain(secret)
}

const ANSWERS: Record<string, [status: number, type: string, body: (target: string) => string]> = {
  'a status alone': [500, 'text/plain', () => ''],
  'the target in plain text, as Express does': [404, 'text/plain', (target) => `Cannot POST ${target}`],
  'the target in JSON, as fastify does': [
    404,
    'application/json',
    (target) => JSON.stringify({ message: `Route POST:${target} not found`, error: 'Not Found', statusCode: 404 }),
  ],
  'the decoded values': [400, 'text/plain', () => 'invalid key S3cr3tQuery or signature "a b+S3cr3t"'],
  'the credentials': [401, 'application/problem+json', () => '{"title":"Bearer S3cr3tToken is not valid"}'],
  'a redirect to itself': [308, 'text/plain', () => ''],
}

describe("an endpoint's URL with credentials in its query", () => {
  it.each(Object.entries(ANSWERS))('shows none of them where the answer has %s', async (_, [status, type, body]) => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    receiver.answer = (request, response) => {
      const location = status === 308 ? { location: `${request.url}&more=S3cr3tQuery` } : {}
      response.writeHead(status, { 'content-type': type, ...location }).end(body(request.url ?? ''))
    }
    const endpoints = { orders: { url: `${receiver.url}${QUERY}`, token: 'S3cr3tToken' } }
    const transport = await bed.open({ endpoints })
    const producer = transport.producer('orders', { sendTimeoutMs: 500, http: { notFoundGraceMs: 0 } })
    for (const tried of [() => producer.send(1), () => producer.request(1, { timeoutMs: 500 }).read()]) {
      const error: unknown = await tried().then(
        () => 'sent',
        (thrown: unknown) => thrown,
      )
      expect(error).toMatchObject({
        message: expect.stringContaining(`${receiver.url}?api_key=***&sig=***&***: `),
      })
      expectNoSecret(shown(error))
    }
    expectNoSecret(bed.log.join('\n'))
    expect(receiver.requests[0]?.url).toBe(`/hook${QUERY}`)
  })

  it.each(['send', 'GET'])(
    'shows none of them where nobody listens, answers late or the transport closes: %s',
    async (how) => {
      await using bed = new Bed()
      const silent = createServer(() => {}).listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const late = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/hook${QUERY}`
      const method = how === 'GET' ? 'GET' : 'POST'
      const errors: unknown[] = []
      for (const url of [`http://127.0.0.1:${await findFreePort()}/hook${QUERY}`, late]) {
        const transport = await bed.open({ connections: 1, responseTimeoutMs: 50 })
        const producer = transport.producer('orders', { sendTimeoutMs: 400, http: { endpoint: url, method } })
        const sends = [1, 2, 3].map((id) => producer.send({ id, note: 'S3cr3tPart' }))
        errors.push(...(await Promise.allSettled(sends)).map((one) => one.status === 'rejected' && one.reason))
        const last = producer.send({ id: 4 }).catch((error: unknown) => errors.push(error))
        await transport.close({ timeoutMs: 0 })
        await last
      }
      expect(errors).toHaveLength(8)
      for (const error of errors) {
        expect(error).toMatchObject({ name: 'StreamError' })
        expectNoSecret(shown(error))
      }
      expectNoSecret(bed.log.join('\n'))
      silent.closeAllConnections()
      silent.close()
    },
  )

  it('says nothing of the values of a message that a service quotes from the query of a GET', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    receiver.answer = (request, response) =>
      response.writeHead(400, { 'content-type': 'text/plain' }).end(`bad request "${request.url}"`)
    const transport = await bed.open()
    const producer = transport.producer('orders', { http: { endpoint: receiver.url, method: 'GET' } })
    const error: unknown = await producer.send({ card: '4111 1111' }).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ message: `${receiver.url}: bad request "/hook?***" (status 400)` })
  })

  it.each([
    ['baseUrls', { baseUrls: ['http://user:S3cr3tPart@127.0.0.1:1'] }],
    ['baseUrls', { baseUrls: ['http://127.0.0.1:1?token=S3cr3tPart'] }],
    ['routes', { routes: { orders: { g: ['http://127.0.0.1:1/x?token=S3cr3tPart'] } } }],
    ['endpoints', { endpoints: { orders: 'http://user:S3cr3tPart@127.0.0.1:1' } }],
  ])('is refused in %s where it could not be used', async (name, options) => {
    await using bed = new Bed()
    const error: unknown = await bed.open(options, 'http://127.0.0.1:1').catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(`${name}: must be`) })
    expectNoSecret(shown(error))
  })
})

describe('credentials that go to another machine without TLS', () => {
  const REMOTE = 'http://replica.invalid'
  it.each([
    [
      'a password',
      { username: 'u', password: 'S3cr3tPart' },
      REMOTE,
      ['the password is sent unencrypted to replica.invalid'],
    ],
    ['a token', { token: 'S3cr3tPart' }, REMOTE, ['the token is sent unencrypted to replica.invalid']],
    ['a token by TLS', { token: 'S3cr3tPart' }, 'https://replica.invalid', []],
    ['a token to this machine', { token: 'S3cr3tPart' }, 'http://localhost:1', []],
    ['nothing', {}, REMOTE, []],
    [
      'tokens along routes and to endpoints',
      {
        token: 'S3cr3tPart',
        routes: { orders: { g: ['http://[2001:db8::1]:8080/base', 'https://far.invalid'] } },
        endpoints: { hooks: [{ url: 'http://hook.invalid?key=S3cr3tPart', token: 'S3cr3tToken' }] },
      },
      'http://127.0.0.1:1',
      ['the token is sent unencrypted to [2001:db8::1], hook.invalid'],
    ],
  ])('are warned about once: %s', async (_, options, url, expected) => {
    await using bed = new Bed()
    await bed.open(options, url)
    const warnings = bed.log.filter((line) => line.includes('sent unencrypted'))
    expect(warnings).toEqual(expected.map((text) => expect.stringContaining(text)))
    expectNoSecret(bed.log.join('\n'))
  })
})

/** Names under which clients, gateways and proxies send credentials, addresses and what concerns a connection. */
const DENIED = [
  ...['authorization', 'proxy-authorization', 'cookie', 'cookie2', 'set-cookie', 'x-api-key', 'api-key', 'apikey'],
  ...['x-auth-token', 'x-access-token', 'x-csrf-token', 'x-xsrf-token', 'private-token', 'x-gitlab-token'],
  ...['x-amz-security-token', 'x-goog-iap-jwt-assertion', 'cf-access-jwt-assertion', 'x-session-id', 'x-secret'],
  ...[
    'ocp-apim-subscription-key',
    'x-functions-key',
    'x-rapidapi-key',
    'x_api_key',
    'x-vault-token',
    'x-user-password',
  ],
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-client-cert', 'forwarded', 'via', 'x-real-ip', 'x-client-ip'],
  ...['true-client-ip', 'cf-connecting-ip', 'x-original-url', 'x-ssl-client-verify', 'x-auth-request-email'],
  ...['te', 'keep-alive', 'proxy-connection', 'trailer', 'x-hop', 'referer', 'origin', 'sec-fetch-site'],
]
const TAKEN = ['x-request-id', 'traceparent', 'tracestate', 'x-tenant', 'x-hub-signature-256', 'x-github-event']

/** Posts with all of these headers; resolves with the headers of the message. */
async function headersOf(bed: Bed, options: Record<string, unknown>, more: readonly string[] = []) {
  const transport = await bed.open(options)
  const messages: Message[] = []
  const settings = { http: { allowBrowsers: true } }
  await consume(transport, 'orders', 'g', (message) => void messages.push(message), settings)
  const names = [...DENIED, ...TAKEN]
  const given = [...names.map((name) => `${name}: S3cr3tPart`), 'connection: x-hop', ...more]
  const headers = ['content-type: application/json', ...given].flatMap((one) => ['-H', one])
  expect((await curl([...headers, '-d', '1', `${transport.base}/orders/g`])).status).toBe(204)
  return Object.keys(messages[0]?.headers ?? {}).sort()
}

describe('headers of foreign requests', () => {
  it('become headers of the message unless they may be credentials, come from proxies or belong to the connection', async () => {
    await using bed = new Bed()
    expect(await headersOf(bed, {})).toEqual(['content-type', ...TAKEN].sort())
  })

  it('are those that foreignHeaders matches: denied ones only by their whole names', async () => {
    await using bed = new Bed()
    const foreignHeaders = ['X-Tenant', 'trace*', 'x-*-key', 'x-forwarded-for', 'authorization', 'te', 'x-hop']
    const taken = ['authorization', 'content-type', 'traceparent', 'tracestate', 'x-forwarded-for', 'x-tenant']
    expect(await headersOf(bed, { foreignHeaders })).toEqual(taken)
    expect(await headersOf(bed, { foreignHeaders: [] })).toEqual(['content-type'])
    await expect(bed.open({ foreignHeaders: ['x tenant'] })).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringContaining('foreignHeaders: must be a list of header names'),
    })
  })

  it('may not be named as headers of a sender of ours, whose own of that name arrive all the same', async () => {
    await using bed = new Bed()
    const list = 'streamswitch-headers: authorization,x-api-key,x-forwarded-for,x-tenant'
    expect(await headersOf(bed, {}, [list])).toEqual(['x-tenant'])
    const transport = await bed.open()
    const messages: Message[] = []
    await consume(transport, 'orders', 'g', (message) => void messages.push(message))
    const headers = { 'x-api-key': 'of the message', 'x-forwarded-for': 'there', cookie: 'a=b', 'x-tenant': 't' }
    await transport.producer('orders').send(1, { headers })
    expect(messages[0]?.headers).toMatchObject(headers)
  })
})

describe("the text of a handler's error", () => {
  const DETAIL = 'duplicate key (email)=(ada@example.org)'

  /** What a sender is told, one message at a time and in a batch for all groups. */
  async function toldTo(
    bed: Bed,
    headers: readonly string[],
    options: Record<string, unknown> = {},
    settings: object = {},
  ) {
    const transport = await bed.open(options)
    await consume(transport, 'orders', 'g', () => Promise.reject(new Error(DETAIL)), settings)
    const args = headers.flatMap((one) => ['-H', one])
    const post = (path: string) =>
      curl(['-H', 'content-type: application/json', ...args, '-d', '1', `${transport.base}${path}`])
    const answers = [await post('/orders/g'), await post('/orders')]
    for (const { status } of answers) expect(status).toBe(500)
    for (const { body } of answers) expect(body).not.toContain('detailFor')
    return new Set(answers.map(({ body }) => body.includes(DETAIL)))
  }

  const PROXIED = 'x-forwarded-for: 192.0.2.1'

  it.each([
    ['told to a process of this machine', [], {}, {}, true],
    ['not told through a proxy', [PROXIED], {}, {}, false],
    ['told through a proxy with a token', [PROXIED, 'authorization: Bearer t'], { listenToken: 't' }, {}, true],
    ['told to all where errorDetail says so', [PROXIED], {}, { http: { errorDetail: 'message' } }, true],
    ['told to nobody where errorDetail says so', [], {}, { http: { errorDetail: 'none' } }, false],
  ])('is %s', async (_, headers, options, settings, told) => {
    await using bed = new Bed()
    expect(await toldTo(bed, headers, options, settings)).toEqual(new Set([told]))
  })

  it('is told in the outcomes of a batch by the same rule', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const failing = () => Promise.reject(new Error(DETAIL))
    await consume(receiving, 'orders', 'g', failing, { http: { errorDetail: 'none' }, retry: { attempts: 1 } })
    const sending = await bed.open({}, receiving.base)
    const sends = Array.from({ length: 5 }, (_, index) => sending.producer('orders').send(index))
    for (const result of await Promise.allSettled(sends)) {
      expect(result).toMatchObject({
        reason: { message: expect.stringContaining('The message was refused (status 422)') },
      })
      expect(shown(result)).not.toContain(DETAIL)
    }
  })

  it('is always in the error of a reply', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const failing = () => Promise.reject(new Error(DETAIL))
    await consume(receiving, 'orders', 'g', failing, { http: { errorDetail: 'none' }, retry: { attempts: 1 } })
    const request = (await bed.open({}, receiving.base)).producer('orders').request(1)
    await expect(request.read()).rejects.toMatchObject({ message: expect.stringContaining(DETAIL) })
    const accept = ['-H', 'content-type: application/json', '-H', PROXIED, '-H', 'accept: multipart/mixed']
    const { body } = await curl([...accept, '-d', '1', `${receiving.base}/orders/g`])
    expect(decodeURIComponent(body)).toContain(DETAIL)
  })
})
