import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { type Message, topicPattern } from '@streamswitch/core'
import { type Certificates, findFreePort, makeCertificates } from '@streamswitch/testkit/brokers'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Authorize, HttpDestination, HttpRequestInfo } from '../src/index.js'
import { Authorization } from '../src/server/authorization.js'
import { ListenTokens } from '../src/server/listen-tokens.js'
import { ANYBODY } from '../src/server/principal.js'
import { BATCH_TYPE } from '../src/wire/batch-frames.js'
import { Bed, consume, gate, until } from './support/bed.js'
import { curl } from './support/curl.js'
import { batchOf } from './support/frames.js'
import { RawClient } from './support/raw-clients.js'
import { type RawRequest, rawRequest } from './support/raw-request.js'

/** Two tokens, none of which is another's beginning. */
const BILLING = 'billing-5f1c'
const AUDIT = 'audit-77ab'
const bearer = (token: string, ...headers: string[]): RawRequest => ({
  headers: [`Authorization: Bearer ${token}`, ...headers],
})
const post = (...headers: string[]): RawRequest => ({ headers: ['Content-Type: application/json', ...headers] })

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'streamswitch-access-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** A server with a loop each for `topics`; what its `authorize` was asked, and what was handled. */
async function serving(
  options: Readonly<Record<string, unknown>>,
  groups: readonly string[] = ['billing'],
  settings: object = {},
) {
  const bed = new Bed()
  const transport = await bed.open(options)
  const handled: Message[] = []
  for (const group of groups)
    await consume(transport, 'orders', group, (message) => void handled.push(message), { codec: 'bytes', ...settings })
  return {
    bed,
    transport,
    base: transport.base,
    handled,
    status: async (request: RawRequest) => (await rawRequest(transport.base, request)).status,
    [Symbol.asyncDispose]: () => bed[Symbol.asyncDispose](),
  }
}

describe('several listen tokens', () => {
  it('let in who shows one of them, by its name; nothing that resembles one', async () => {
    const seen: (string | undefined)[] = []
    await using server = await serving({
      listenTokens: { billing: BILLING, audit: [AUDIT, 'audit-next'] },
      listenToken: 'plain',
      authorize: ({ principal }: HttpRequestInfo) => {
        seen.push(principal.token)
        return true
      },
    })
    for (const token of [BILLING, AUDIT, 'audit-next', 'plain']) expect(await server.status(bearer(token))).toBe(204)
    expect(await server.status({ headers: [`AUTHORIZATION:bearer   ${BILLING}  `] })).toBe(204)
    expect(seen).toEqual(['billing', 'audit', 'audit', 'default', 'billing'])
    const wrong = [
      'billing',
      'default',
      BILLING.slice(0, -1),
      BILLING.slice(1),
      `${BILLING}0`,
      `${BILLING}\t0`,
      ` ${BILLING} ${AUDIT}`,
      `${BILLING},${AUDIT}`,
      `${BILLING}, Bearer ${AUDIT}`,
      `"${BILLING}"`,
      BILLING.toUpperCase(),
      encodeURIComponent(BILLING).replace('-', '%2D'),
      'audit-next\u00a0',
      'x'.repeat(60_000),
      '[object Object]',
    ]
    for (const token of wrong) expect(await server.status(bearer(token)), token.slice(0, 50)).toBe(401)
    const others = [
      `Basic ${btoa(`billing:${BILLING}`)}`,
      BILLING,
      `Token ${BILLING}`,
      `Bearer${BILLING}`,
      `Bearer\t${BILLING}`,
    ]
    for (const value of others) expect(await server.status({ headers: [`Authorization: ${value}`] }), value).toBe(401)
    for (const headers of [
      [`Authorization: Bearer wrong`, `Authorization: Bearer ${BILLING}`],
      [`Authorization: Bearer ${BILLING}`, `authorization: Bearer wrong`],
      [`Authorization: Bearer ${BILLING}`, `Authorization: Bearer ${BILLING}`],
    ])
      expect(await server.status({ headers })).toBe(400)
    expect(await server.status({ target: `/orders/billing?token=${BILLING}` })).toBe(401)
    expect(await server.status({ headers: [`Proxy-Authorization: Bearer ${BILLING}`] })).toBe(401)
    expect(server.handled).toHaveLength(5)
  })

  it('are rotated one by one, also for connections that stay open', async () => {
    const file = join(folder, 'token')
    await writeFile(file, 'first\n')
    await using server = await serving({ listenTokens: { billing: [{ file }, BILLING], audit: () => AUDIT } })
    const client = await RawClient.connect(Number(new URL(server.base).port))
    let answers = 0
    const ask = async (token: string) => {
      client.socket.write(
        `POST /orders/billing HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Length: 1\r\n\r\n1`,
      )
      answers += 1
      const lines = () => client.received.match(/HTTP\/1\.1 \d{3}/g) ?? []
      await until(() => lines().length === answers, 'the answer')
      return Number(lines().at(-1)?.slice(9))
    }
    expect(await ask('first')).toBe(204)
    await writeFile(file, 'second\n')
    expect(await ask('second')).toBe(204)
    expect(await ask('first')).toBe(401)
    expect([await ask(BILLING), await ask(AUDIT)]).toEqual([204, 204])
    expect(client.closed).toBe(false)
    client.socket.destroy()
    expect(server.handled).toHaveLength(4)
  })

  it('do not depend on each other: one that is lost stays valid for a time, and is reported once', async () => {
    const file = join(folder, 'token')
    await writeFile(file, 'kept')
    await using bed = new Bed()
    const transport = await bed.open({ listenTokens: { lost: { file }, billing: BILLING } })
    const errors: Error[] = []
    const loop = await consume(transport, 'orders', 'billing', () => {}, { codec: 'bytes' })
    loop.on('error', (error: Error) => void errors.push(error))
    const status = async (token: string) => (await rawRequest(transport.base, bearer(token))).status
    await writeFile(file, '')
    for (let round = 0; round < 3; round += 1) expect(await status('wrong')).toBe(401)
    expect([await status('kept'), await status(BILLING)]).toEqual([204, 204])
    for (const empty of ['', ' ', '\t']) expect(await status(empty)).toBe(401)
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining(`the file ${file} is empty`)])
  })

  it('are read for unknown tokens only: one that is known costs no read of the others', async () => {
    let reads = 0
    const tokens = await ListenTokens.read(
      [
        { name: 'known', secret: 'known' },
        {
          name: 'asked',
          secret: () => {
            reads += 1
            return 'asked'
          },
        },
      ],
      () => {},
    )
    for (let round = 0; round < 500; round += 1) expect(tokens.judge('Bearer known')).toEqual({ name: 'known' })
    for (let round = 0; round < 500; round += 1) expect(tokens.judge('Bearer asked')).toEqual({ name: 'asked' })
    expect(tokens.judge(undefined)).toBe('refused')
    expect(reads).toBe(1)
    expect(await tokens.judge('Bearer unknown')).toBe('refused')
    expect(reads).toBe(2)
  })

  it('must be what they should be: errors name the option and never the token', async () => {
    await using bed = new Bed()
    const secret = `secret-${randomUUID()}`
    const bad: readonly unknown[] = [
      {},
      [],
      [secret],
      '',
      '{',
      `{"billing":"${secret}"`,
      '{}',
      '["x"]',
      { '': secret },
      { 'a b': secret },
      { 'a\nb': secret },
      { __proto__: null, ['x'.repeat(101)]: secret },
      JSON.parse(`{"__proto__":"${secret}"}`),
      { billing: '' },
      { billing: ' \t' },
      { billing: [] },
      { billing: [secret, ''] },
      { billing: 7 },
      { billing: { file: '' } },
      { billing: { files: secret } },
      { billing: null },
    ]
    for (const listenTokens of bad) {
      const opening = bed.open({ listenTokens })
      await expect(opening, JSON.stringify(listenTokens)).rejects.toMatchObject({
        code: 'INVALID_ARGUMENT',
        message: expect.stringContaining('listenTokens'),
      })
      await expect(opening.catch(String)).resolves.not.toContain(secret)
    }
    await expect(bed.open({ listenToken: secret, listenTokens: { default: 'x' } })).rejects.toThrow('listenTokens')
    const file = join(folder, 'same')
    await writeFile(file, `${secret}\n`)
    const same = await bed.open({ listenTokens: { one: secret, two: { file } } })
    await expect(same.consumer('orders', { group: 'g' }).init()).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      message: expect.stringMatching(/^(?!.*secret-).*'one' and 'two' have the same token/),
    })
    const shared = await bed.open({ listenTokens: { one: ['a', 'b'] } })
    await consume(shared, 'orders', 'billing', () => {})
    await consume(await bed.open({ listenTokens: '{"one":["a","b"]}' }, shared.base), 'invoices', 'billing', () => {})
    for (const listenTokens of [{ one: ['b', 'a'] }, { two: ['a', 'b'] }, { one: 'a' }]) {
      const other = await bed.open({ listenTokens }, shared.base)
      await expect(other.consumer('x', { group: 'g' }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    }
  })

  it('keep senders apart: nobody uses up the ids of another', async () => {
    await using server = await serving({ listenTokens: { billing: BILLING, audit: AUDIT } })
    const send = (token: string) => server.status(bearer(token, 'Idempotency-Key: same'))
    expect([await send(AUDIT), await send(AUDIT), await send(BILLING), await send(BILLING)]).toEqual([
      204, 204, 204, 204,
    ])
    expect(server.handled).toHaveLength(2)
  })
})

describe('authorize', () => {
  const asked: HttpDestination[] = []
  beforeEach(() => void asked.splice(0))
  const only =
    (...groups: readonly string[]): Authorize =>
    (_request, destination) => {
      asked.push(destination)
      return groups.includes(`${destination.topic}/${destination.group}`)
    }

  it('decides by topic and group, as the loop names them, whichever way the path is written', async () => {
    await using server = await serving({ prefix: 'shop.', listenPath: '/in', authorize: only('orders/billing') }, [
      'billing',
      'audit',
    ])
    const to = async (target: string, method = 'POST') => await server.status({ target, method })
    for (const target of [
      '/in/shop.orders/shop.billing',
      '/in/%73hop%2Eorders/shop.b%69lling',
      '/in/shop.orders/shop.billing?x=/shop.audit',
    ])
      expect(await to(target), target).toBe(204)
    expect(new Set(asked.map(({ topic, group }) => `${topic}/${group}`))).toEqual(new Set(['orders/billing']))
    for (const target of [
      '/in/shop.orders/shop.audit',
      '/in/%73hop%2eorders/%73hop.audit',
      '/in/shop.orders',
      `${server.base}/in/shop.orders/shop.audit`,
    ])
      expect(await to(target), target).toBe(403)
    const lost = [
      '/in/shop.orders/shop.billing/../shop.audit',
      '/in/shop.orders//shop.audit',
      '/in//shop.orders/shop.audit',
      '/in/shop.orders%2Fshop.audit',
      '/in/shop.orders/shop.audit/',
      '/in/shop.orders/shop.audit%00',
      '/in/shop.orders/SHOP.AUDIT',
      '/in/shop.orders/%2e%2e/shop.orders/shop.audit',
      '/in/shop.orders;/shop.audit',
    ]
    for (const target of lost) expect([400, 403, 404], target).toContain(await to(target))
    for (const method of ['PUT', 'DELETE', 'HEAD', 'GET'])
      expect([403, 405]).toContain(await to('/in/shop.orders/shop.audit', method))
    expect(server.handled).toHaveLength(3)
  })

  it('is asked for each group that a request would reach, before its body is read, and 404s list nothing', async () => {
    await using server = await serving({ authorize: only('orders/billing') }, ['billing', 'audit'])
    expect(await server.status({ target: '/orders' })).toBe(403)
    expect(asked).toContainEqual({ topic: 'orders', group: 'audit' })
    const client = await RawClient.connect(
      Number(new URL(server.base).port),
      'POST /orders/audit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n',
    )
    await until(() => client.received.includes('HTTP/1.1 403 '), 'the answer to a request without its body')
    await until(() => client.closed, 'the end')
    const broken = await fetch(`${server.base}/orders/audit`, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: 'no gzip',
    })
    expect(broken.status).toBe(403)
    const batch = await fetch(`${server.base}/orders/audit`, {
      method: 'POST',
      headers: { 'content-type': BATCH_TYPE },
      body: new Uint8Array(batchOf(['{}'])),
    })
    expect(batch.status).toBe(403)
    const zipped = await fetch(`${server.base}/orders/billing`, {
      method: 'POST',
      headers: { 'content-encoding': 'gzip' },
      body: new Uint8Array(gzipSync('1')),
    })
    expect(zipped.status).toBe(204)
    const unknown = await rawRequest(server.base, { target: '/unknown' })
    expect([unknown.status, unknown.body.includes('orders')]).toEqual([404, false])
    expect(server.handled).toHaveLength(1)
  })

  it('lets in by true alone, at once or later', async () => {
    let decision: unknown
    await using server = await serving({ authorize: () => decision })
    const refused = [
      false,
      undefined,
      null,
      0,
      1,
      'true',
      {},
      [],
      Promise.resolve(false),
      Promise.resolve(1),
      Promise.resolve('yes'),
    ]
    for (const one of refused) {
      decision = one
      expect(await server.status({}), String(one)).toBe(403)
    }
    expect(server.handled).toHaveLength(0)
    for (const one of [true, Promise.resolve(true)]) {
      decision = one
      expect(await server.status({})).toBe(204)
    }
  })

  it('refuses where it fails, says nothing of it to the sender, and reports it without control characters', async () => {
    const failures: (() => unknown)[] = [
      () => {
        throw new Error('secret\r\nforged line')
      },
      () => Promise.reject(new Error('secret')),
      () => {
        throw Object.assign(new Error('secret'), { message: undefined })
      },
      () => Promise.reject('secret'),
    ]
    for (const fail of failures) {
      await using bed = new Bed()
      const transport = await bed.open({ authorize: fail })
      const errors: Error[] = []
      let handled = 0
      const loop = await consume(transport, 'orders', 'billing', () => {
        handled += 1
      })
      loop.on('error', (error: Error) => void errors.push(error))
      for (let round = 0; round < 20; round += 1) {
        const answer = await rawRequest(transport.base)
        expect([answer.status, JSON.parse(answer.body)]).toMatchObject([500, { title: 'The server failed' }])
        expect(JSON.stringify(answer)).not.toContain('secret')
      }
      expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining('authorize failed')])
      expect(errors[0]?.message).not.toMatch(/[\r\n]/)
      expect(handled).toBe(0)
    }
  })

  it('must decide in time: a request is answered 503, and those that come later are decided again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const reports: Error[] = []
      const info = { principal: ANYBODY, address: undefined, method: 'POST', path: '/', headers: {} }
      let answer: Promise<boolean> = new Promise(() => {})
      const authorization = new Authorization(
        () => answer,
        (error) => void reports.push(error),
      )
      const judge = () => authorization.judge(info, [{ topic: 'orders', group: 'billing' }])
      const waiting = judge()
      await vi.advanceTimersByTimeAsync(5_000)
      expect(await waiting).toMatchObject({ status: 503, retryable: true })
      answer = Promise.resolve(true)
      expect(await judge()).toBeUndefined()
      expect(reports).toHaveLength(1)
    } finally {
      vi.useRealTimers()
    }
  })

  it('is asked about groups that join while a request comes in', async () => {
    await using server = await serving({ authorize: only('orders/billing') })
    const client = await RawClient.connect(
      Number(new URL(server.base).port),
      'POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n',
    )
    await until(() => asked.length > 0, 'the question')
    await consume(server.transport, 'orders', 'audit', (message) => void server.handled.push(message), {
      codec: 'bytes',
    })
    client.socket.write('1')
    await until(() => client.received.includes('HTTP/1.1 403 '), 'the refusal')
    client.socket.destroy()
    expect(server.handled).toHaveLength(0)
  })

  it('decides before a loop by pattern joins a topic, and by GET', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ prefix: 'p.', authorize: only('found-1/web') })
    const assigned: string[] = []
    const loop = transport.consumer(topicPattern('found-*'), {
      group: 'web',
      http: { method: 'GET' },
      onAssigned: (partitions: readonly { readonly topic: string }[]) =>
        void assigned.push(...partitions.map(({ topic }) => topic)),
    })
    loop.handle(() => {})
    await loop.init()
    void loop.run()
    const status = async (target: string, method = 'GET') =>
      (await rawRequest(transport.base, { target, method, body: method === 'GET' ? '' : '{}' })).status
    expect(await status('/p.found-1?a=1')).toBe(204)
    expect(await status('/p.found-1/p.web?a=1')).toBe(204)
    for (const target of ['/p.found-2?a=1', '/p.found-2/p.web', '/p.found%2D2']) {
      expect(await status(target), target).toBe(403)
      expect(await status(target, 'POST'), target).toBe(403)
    }
    expect(assigned).toEqual(['found-1'])
    expect(asked).toContainEqual({ topic: 'found-2', group: 'web' })
  })

  it('goes for senders of ours, their batches and requests for replies; who may not gets PERMISSION_DENIED', async () => {
    await using bed = new Bed()
    const authorize: Authorize = ({ principal }, { group }) => principal.token === group
    const receiving = await bed.open({ listenTokens: { billing: BILLING, audit: AUDIT }, authorize })
    const seen: unknown[] = []
    await consume(receiving, 'orders', 'billing', ({ value }) => {
      seen.push(value)
      return `re: ${value}`
    })
    const route = { orders: { billing: [receiving.base] } }
    const mine = await bed.open({ token: BILLING, routes: route })
    const other = await bed.open({ token: AUDIT, routes: route })
    await mine.producer('orders').sendBatch(['a', 'b', 'c'])
    expect(await mine.producer('orders').request('d').read()).toBe('re: d')
    const denied = { code: 'PERMISSION_DENIED', message: expect.stringContaining('may not send here') }
    await expect(other.producer('orders').send('x')).rejects.toMatchObject(denied)
    await expect(other.producer('orders').request('x').read()).rejects.toMatchObject(denied)
    expect(seen).toEqual(['a', 'b', 'c', 'd'])
  })

  it('is a function, the same for all who share a server', async () => {
    await using bed = new Bed()
    for (const authorize of ['yes', true, {}, null]) await expect(bed.open({ authorize })).rejects.toThrow('authorize')
    const one = await bed.open({ authorize: () => true })
    await consume(one, 'orders', 'billing', () => {})
    for (const options of [{}, { authorize: () => true }]) {
      const other = await bed.open(options, one.base)
      await expect(other.consumer('x', { group: 'g' }).init()).rejects.toMatchObject({ code: 'CONFLICT' })
    }
  })
})

describe('a client certificate', () => {
  let certificates: Certificates
  beforeAll(async () => {
    certificates = await makeCertificates()
  })
  afterAll(() => certificates?.remove())

  async function clientCertificate(subject: string) {
    const path = join(folder, 'client')
    const authority = certificates.caFile.replace(/\.crt$/, '')
    const openssl = (...args: string[]) => promisify(execFile)('openssl', args)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', `${path}.key`]
    await openssl('req', ...key, '-utf8', '-subj', subject, '-out', `${path}.csr`)
    const signer = ['-CA', `${authority}.crt`, '-CAkey', `${authority}.key`, '-CAcreateserial', '-days', '2']
    await openssl('x509', '-req', '-in', `${path}.csr`, ...signer, '-out', `${path}.crt`)
    return { certFile: `${path}.crt`, keyFile: `${path}.key` }
  }

  it('is the principal, beside the token where both are asked for', async () => {
    await using bed = new Bed()
    const seen: unknown[] = []
    const { certFile, keyFile, caFile } = certificates
    // What its organization says must not pass for another part, nor its control characters for the end of one.
    const client = await clientCertificate('/O=Acme, CN=admin\nCN=root/CN=billing')
    const transport = await bed.open(
      {
        listenTlsCertFile: certFile,
        listenTlsKeyFile: keyFile,
        listenTlsCaFile: caFile,
        listenTokens: { billing: BILLING },
        authorize: ({ principal }: HttpRequestInfo) => {
          seen.push(principal)
          return principal.certificate?.subject.includes('CN=') === true && principal.token === 'billing'
        },
      },
      `https://127.0.0.1:${await findFreePort()}`,
    )
    await consume(transport, 'orders', 'billing', () => {}, { codec: 'bytes' })
    const url = `${transport.base}/orders/billing`
    const status = async (...args: string[]) => (await curl(['--cacert', caFile, '-d', '1', ...args, url])).status
    const certificate = ['--cert', client.certFile, '--key', client.keyFile]
    const token = ['-H', `authorization: Bearer ${BILLING}`]
    expect([await status(), await status(...token), await status(...certificate)]).toEqual([401, 401, 401])
    expect(seen).toEqual([])
    expect(await status(...certificate, ...token)).toBe(204)
    expect(seen).toEqual([
      {
        token: 'billing',
        certificate: {
          subject: 'O=Acme\\, CN=admin\\0ACN=root, CN=billing',
          subjectAltName: undefined,
          fingerprint256: expect.stringMatching(/^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/),
        },
      },
    ])
  })
})

describe('headers of proxies', () => {
  const addressOf = async (options: object, ...headers: string[]) => {
    const seen: (string | undefined)[] = []
    await using server = await serving({
      ...options,
      authorize: ({ address }: HttpRequestInfo) => {
        seen.push(address)
        return true
      },
    })
    expect(await server.status(post(...headers))).toBe(204)
    return seen[0]
  }

  it('count from those that are named, as far as these reach', async () => {
    const chain = ['X-Forwarded-For: 198.51.100.9, 192.0.2.1, 10.1.2.3']
    expect(await addressOf({}, ...chain)).toBe('127.0.0.1')
    expect(await addressOf({ trustedProxies: '10.0.0.0/8' }, ...chain), 'the connection is not of one').toBe(
      '127.0.0.1',
    )
    expect(await addressOf({ trustedProxies: 'loopback' }, ...chain)).toBe('10.1.2.3')
    expect(await addressOf({ trustedProxies: ['127.0.0.1', '10.0.0.0/8'] }, ...chain)).toBe('192.0.2.1')
    expect(await addressOf({ trustedProxies: ['loopback', 'uniquelocal', '192.0.2.0/24'] }, ...chain)).toBe(
      '198.51.100.9',
    )
    expect(
      await addressOf({ trustedProxies: 'loopback' }, 'X-Forwarded-For: 198.51.100.9', 'x-forwarded-for: 192.0.2.1'),
    ).toBe('192.0.2.1')
    expect(await addressOf({ trustedProxies: 'loopback' }, 'X-Forwarded-For: 2001:db8::1')).toBe('2001:db8::1')
    for (const text of ['unknown', '<script>', '127.0.0.1.evil.example', '_hidden', '1.2.3.4:5'])
      expect(await addressOf({ trustedProxies: 'loopback' }, `X-Forwarded-For: ${text}`), text).toBeUndefined()
    for (const header of [
      'Forwarded: for=192.0.2.1',
      'X-Real-IP: 192.0.2.1',
      'X-Forwarded-Host: evil.example',
      'Via: 1.1 evil',
    ])
      expect(await addressOf({ trustedProxies: 'loopback' }, header), header).toBe('127.0.0.1')
  })

  it('open nothing: a 404 lists no paths for whom a proxy speaks, unless it is named and its client is of this machine', async () => {
    const lists = async (options: Readonly<Record<string, unknown>>, ...headers: string[]) => {
      await using server = await serving(options)
      return (await rawRequest(server.base, { target: '/unknown', headers })).body.includes('/orders/billing')
    }
    expect(await lists({})).toBe(true)
    const trusted = { trustedProxies: 'loopback' }
    expect(await lists(trusted, 'X-Forwarded-For: 127.0.0.1')).toBe(true)
    expect(await lists({}, 'X-Forwarded-For: 127.0.0.1')).toBe(false)
    for (const header of [
      'X-Forwarded-For: 192.0.2.1',
      'X-Forwarded-For: 127.0.0.1, 192.0.2.1',
      'Forwarded: for=127.0.0.1',
      'X-Real-IP: 127.0.0.1',
      'Via: 1.1 x',
      'x-forwarded-for:',
    ])
      expect(await lists(trusted, header), header).toBe(false)
  })

  it('are named by addresses and ranges', async () => {
    await using bed = new Bed()
    for (const trustedProxies of [
      '',
      'all',
      '*',
      'true',
      true,
      1,
      '10.0.0.0/33',
      '10.0.0.0/0',
      '10.0.0/8',
      'proxy.internal',
      '::/129',
      '10.0.0.1/',
      [],
    ])
      await expect(bed.open({ trustedProxies }), String(trustedProxies)).rejects.toThrow('trustedProxies')
    for (const trustedProxies of ['10.0.0.1', 'fd00::/8,::1', ['linklocal', 'uniquelocal']])
      await bed.open({ trustedProxies })
    for (const allowedOrigins of [
      '*',
      'null',
      'app.example',
      'https://app.example/path',
      'https://u:p@app.example',
      'ftp://x',
      'https://',
      'https://*.example',
      true,
    ])
      await expect(bed.open({ allowedOrigins }), String(allowedOrigins)).rejects.toThrow('allowedOrigins')
    for (const allowedHosts of ['http://x', 'x/y', 'a b', '::1', '[::1', 'x:', 'x:1234567', '-', '*x', true, []])
      await expect(bed.open({ allowedHosts }), String(allowedHosts)).rejects.toThrow('allowedHosts')
  })
})

describe('routing headers', () => {
  const ONLY = 'streamswitch-only-group'
  /** Each asks that `audit` doesn't get it. */
  const SKIPS: readonly (readonly [what: string, RawRequest])[] = [
    ['as a header of the message', post(`Streamswitch-Headers: ${ONLY}`, `${ONLY}: billing`)],
    ['in capitals', post(`STREAMSWITCH-HEADERS: ${ONLY}`, `${ONLY.toUpperCase()}: billing`)],
    ['encoded', post(`Streamswitch-Encoded-Headers: ${ONLY}=billing`)],
    [
      'encoded twice over',
      post(`Streamswitch-Headers: x`, 'x: 1', `Streamswitch-Encoded-Headers: a=b&streamswitch%2Donly%2Dgroup=billing`),
    ],
    ['as a replay', post(`Streamswitch-Encoded-Headers: ${ONLY}=billing&streamswitch-replayed=again`)],
    ['in a frame', frames({ headers: { [ONLY]: 'billing' } })],
    ['to a group that nobody has', post(`Streamswitch-Encoded-Headers: ${ONLY}=nobody`)],
    ['by its exception', post('Streamswitch-Except: audit')],
    ['by an exception in a frame', frames({ except: ['audit'] })],
    ['by several', post('streamswitch-except: billing, audit')],
  ]

  function frames(head: object): RawRequest {
    return { headers: [`Content-Type: ${BATCH_TYPE}`], body: batchOf([JSON.stringify(head)]).toString('latin1') }
  }

  for (const [what, request] of SKIPS) {
    it(`of strangers leave nobody out: ${what}`, async () => {
      const groups: string[] = []
      await using bed = new Bed()
      const transport = await bed.open()
      const headers: object[] = []
      for (const group of ['billing', 'audit'])
        await consume(
          transport,
          'orders',
          group,
          (message) => {
            groups.push(group)
            headers.push(message.headers)
          },
          { codec: 'bytes' },
        )
      expect([200, 204]).toContain((await rawRequest(transport.base, { ...request, target: '/orders' })).status)
      expect(groups.sort()).toEqual(['audit', 'billing'])
      expect(JSON.stringify(headers)).not.toContain('streamswitch')
    })
  }

  it('of known senders count, and of all where the receiver says so', async () => {
    for (const [options, token] of [
      [{ listenTokens: { replay: BILLING } }, BILLING],
      [{ routingHeaders: 'all' }, undefined],
    ] as const)
      for (const [what, request] of SKIPS.slice(0, 6)) {
        const groups: string[] = []
        await using bed = new Bed()
        const transport = await bed.open(options)
        for (const group of ['billing', 'audit'])
          await consume(transport, 'orders', group, () => void groups.push(group), { codec: 'bytes' })
        const headers = [...(request.headers ?? []), ...(token === undefined ? [] : [`Authorization: Bearer ${token}`])]
        expect([200, 204]).toContain(
          (await rawRequest(transport.base, { ...request, headers, target: '/orders' })).status,
        )
        expect(groups, what).toEqual(['billing'])
      }
  })

  const COUNTS: readonly (readonly [what: string, RawRequest])[] = [
    ['999999999', post('Streamswitch-Attempt: 999999999')],
    ['of one group', post('STREAMSWITCH-ATTEMPT: billing=999999999')],
    ['of several', post('streamswitch-attempt: audit=1,billing=999999999')],
    ['in a frame', frames({ attempt: Number.MAX_SAFE_INTEGER })],
    ['of one group in a frame', frames({ attempt: { billing: 7 } })],
  ]

  for (const [what, request] of COUNTS) {
    it(`of strangers use up no attempts, those of known senders all but the last: ${what}`, async () => {
      for (const known of [false, true]) {
        await using bed = new Bed()
        const transport = await bed.open(known ? { listenToken: BILLING } : {})
        const attempts: number[] = []
        await consume(
          transport,
          'orders',
          'billing',
          ({ attempt }) => {
            attempts.push(attempt)
            throw new Error('not now')
          },
          { codec: 'bytes' },
        )
        const headers = [...(request.headers ?? []), ...(known ? [`Authorization: Bearer ${BILLING}`] : [])]
        const { body } = await rawRequest(transport.base, { ...request, headers })
        // The loop's `retry.attempts` is 5.
        expect(attempts).toEqual([known ? 5 : 1])
        expect(JSON.parse(body)).toMatchObject(
          known ? { retryable: false, attempt: 5 } : { retryable: true, attempt: 1 },
        )
      }
    })
  }

  it('are not needed by senders of ours: failed groups alone are tried again, and attempts are counted', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const seen: string[] = []
    await consume(receiving, 'orders', 'billing', () => void seen.push('billing'))
    await consume(receiving, 'orders', 'audit', ({ attempt }) => {
      seen.push(`audit ${attempt}`)
      if (attempt < 3) throw new Error('not now')
    })
    await receiving.producer('orders').send(1)
    expect(seen.sort()).toEqual(['audit 1', 'audit 2', 'audit 3', 'billing'])
  })
})

it('a reply that is kept goes to the principal that asked for it', async () => {
  await using bed = new Bed()
  const receiving = await bed.open({ listenTokens: { billing: BILLING, audit: AUDIT } })
  const { opened, open } = gate()
  let starts = 0
  await consume(receiving, 'orders', 'billing', async () => {
    starts += 1
    await opened
    return 'confidential'
  })
  const ask = (token: string) =>
    rawRequest(receiving.base, {
      ...bearer(
        token,
        'Content-Type: application/json',
        'Streamswitch-Id: one',
        'Streamswitch-Resend: 1',
        `Streamswitch-Encoded-Headers: streamswitch-reply-to=${encodeURIComponent('streamswitch:1:http:response.known#known')}`,
      ),
    })
  const mine = ask(BILLING)
  await until(() => starts === 1, 'the handler')
  const theirs = await ask(AUDIT)
  expect([theirs.status, theirs.body.includes('confidential')]).toEqual([410, false])
  open()
  expect((await mine).body).toContain('confidential')
})
