import { connect } from 'node:net'
import type { Message } from '@streamswitch/core'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { describe, expect, it } from 'vitest'
import { Bed, consume, gate, until } from './support/bed.js'
import { curl } from './support/curl.js'

const problem = (body: string): unknown => JSON.parse(body)
const JSON_TYPE = ['-H', 'content-type: application/json']

/** Sends bytes on a fresh connection; resolves with all that comes back until the server closes it. */
function raw(base: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(base).port), '127.0.0.1', () => socket.write(text))
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('close', () => resolve(Buffer.concat(chunks).toString()))
    socket.on('error', reject)
  })
}

describe('a foreign client', () => {
  it('posts a body and gets 204 once the handler has succeeded', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const messages: Message[] = []
    await consume(transport, 'orders', 'billing', (message) => void messages.push(message))
    const answer = await curl([
      ...JSON_TYPE,
      '-H',
      'x-request-id: r1',
      '-d',
      '{"a":1}',
      `${transport.base}/orders/billing`,
    ])
    expect(answer.status).toBe(204)
    expect(messages[0]).toMatchObject({
      topic: 'orders',
      key: undefined,
      value: { a: 1 },
      attempt: 1,
      headers: { 'content-type': 'application/json', 'x-request-id': 'r1' },
    })
    expect(messages[0]?.headers).not.toHaveProperty('user-agent')
    expect((await curl(['-X', 'POST', `${transport.base}/orders/billing`])).status, 'an empty body is no JSON').toBe(
      422,
    )
  })

  it('is answered with the reason when the handler fails, and told whether to come again', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    await consume(transport, 'orders', 'billing', () => Promise.reject(new Error('no stock')), {
      retry: { attempts: 2, minDelayMs: 1_500, maxDelayMs: 1_500 },
    })
    const send = () => curl([...JSON_TYPE, '-H', 'idempotency-key: i1', '-d', '1', `${transport.base}/orders/billing`])
    const first = await send()
    expect(first.status).toBe(500)
    expect(first.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': expect.stringMatching(/^[12]$/),
    })
    expect(problem(first.body)).toMatchObject({
      status: 500,
      title: 'The handler failed',
      detail: 'no stock',
      code: 'UNKNOWN',
      retryable: true,
      attempt: 1,
    })
    const second = await send()
    expect(second.status, 'its second start was the last').toBe(422)
    expect(problem(second.body)).toMatchObject({ retryable: false, attempt: 2 })
    const bad = await curl([...JSON_TYPE, '-d', 'no JSON', `${transport.base}/orders/billing`])
    expect(problem(bad.body)).toMatchObject({ status: 422, code: 'SERIALIZATION', retryable: false })
  })

  it('tells nothing of the failure where errorDetail is none', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    await consume(transport, 'orders', 'billing', () => Promise.reject(new Error('secret detail')), {
      http: { errorDetail: 'none' },
    })
    const { body } = await curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])
    expect(body).not.toContain('secret')
  })

  it('gets a topic to all groups by leaving the group out; the answer names those that failed', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const seen: string[] = []
    await consume(transport, 'orders', 'billing', () => void seen.push('billing'))
    await consume(transport, 'orders', 'audit', (message) => {
      seen.push('audit')
      if (message.attempt < 2) throw new Error('not now')
    })
    const first = await curl([...JSON_TYPE, '-H', 'idempotency-key: i', '-d', '1', `${transport.base}/orders`])
    expect(first.status).toBe(500)
    expect(problem(first.body)).toMatchObject({
      groups: { billing: { status: 204 }, audit: { status: 500, detail: 'not now' } },
    })
    const again = await curl([
      ...JSON_TYPE,
      '-H',
      'idempotency-key: i',
      '-H',
      'streamswitch-except: billing',
      '-d',
      '1',
      `${transport.base}/orders`,
    ])
    expect(again.status).toBe(204)
    expect(seen).toEqual(['billing', 'audit', 'audit'])
  })

  it('who repeats a message that is still at work waits for the same outcome', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    let starts = 0
    const loop = await consume(transport, 'orders', 'billing', () => {
      starts += 1
      return opened
    })
    const send = () =>
      curl([...JSON_TYPE, '-H', 'idempotency-key: same', '-d', '1', `${transport.base}/orders/billing`])
    const answers = [send()]
    await until(() => starts === 1, 'the first start')
    answers.push(send(), send())
    const other = curl([...JSON_TYPE, '-d', '2', `${transport.base}/orders/billing`])
    await until(() => loop.stats().received === 2, 'the other message')
    open()
    expect((await Promise.all([...answers, other])).map(({ status }) => status)).toEqual([204, 204, 204, 204])
    expect(starts).toBe(2)
  })

  it('who repeats an accepted message gets 204 again, without another handling; a new send under that id is handled', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const attempts: number[] = []
    await consume(transport, 'orders', 'billing', (message) => {
      attempts.push(message.attempt)
      if (message.attempt < 2) throw new Error('once')
    })
    const send = () =>
      curl([...JSON_TYPE, '-H', 'idempotency-key: same', '-d', '1', `${transport.base}/orders/billing`])
    expect([(await send()).status, (await send()).status, (await send()).status]).toEqual([500, 204, 204])
    expect(attempts).toEqual([1, 2])
    await transport.producer('orders').send(1, { id: 'same' })
    expect(attempts).toEqual([1, 2, 1, 2])
  })

  it('asks by GET where the loop takes it: the query is the value', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const values: unknown[] = []
    await consume(transport, 'pings', 'web', (message) => void values.push(message.value), { http: { method: 'GET' } })
    await consume(transport, 'orders', 'billing', () => {})
    expect((await curl([`${transport.base}/pings/web?name=J%C3%B6rg&n=1`])).status).toBe(204)
    expect(values).toEqual([{ name: 'Jörg', n: '1' }])
    const refused = await curl([`${transport.base}/orders/billing?a=1`])
    expect([refused.status, refused.headers.allow]).toEqual([405, 'POST'])
  })
})

describe('requests that can not be', () => {
  it('are answered with a problem: unknown topic, group and path, wrong method, malformed header and batch', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    await consume(transport, 'orders', 'billing', () => {})
    const { base } = transport
    const status = async (...args: string[]) => {
      const answer = await curl(args)
      expect(answer.headers['content-type']).toBe('application/problem+json')
      const { code, retryable } = problem(answer.body) as { code: string; retryable: boolean }
      return [answer.status, code, retryable]
    }
    expect(await status('-d', '1', `${base}/unknown/billing`)).toEqual([404, 'NOT_FOUND', true])
    expect(await status('-d', '1', `${base}/orders/unknown`)).toEqual([404, 'NOT_FOUND', true])
    expect(await status('-d', '1', `${base}/unknown`)).toEqual([404, 'NOT_FOUND', true])
    expect(await status('-d', '1', `${base}/`)).toEqual([404, 'NOT_FOUND', true])
    expect(await status('-d', '1', `${base}/__proto__/constructor`)).toEqual([404, 'NOT_FOUND', true])
    expect(await status('-X', 'PUT', '-d', '1', `${base}/orders/billing`)).toEqual([405, 'INVALID_ARGUMENT', false])
    expect(await status('-X', 'DELETE', `${base}/orders/billing`)).toEqual([405, 'INVALID_ARGUMENT', false])
    expect(await status('-H', 'streamswitch-timestamp: soon', '-d', '1', `${base}/orders/billing`)).toEqual([
      400,
      'INVALID_ARGUMENT',
      false,
    ])
    expect(
      await status('-H', 'content-type: application/vnd.streamswitch.batch.v1', '-d', 'abc', `${base}/orders/billing`),
    ).toEqual([400, 'INVALID_ARGUMENT', false])
    expect(
      await status('-H', 'content-type: application/vnd.streamswitch.batch.v2', '-d', 'abc', `${base}/orders/billing`),
    ).toEqual([415, 'UNSUPPORTED', false])
    expect((await curl(['-d', '1', ...JSON_TYPE, `${base}/orders/billing`])).status).toBe(204)
  })

  it('come by any form of a request target that means the path; other slashes are another path', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const values: unknown[] = []
    await consume(transport, 'orders', 'billing', (message) => void values.push(message.value))
    const { base } = transport
    const authority = new URL(base).host
    const post = async (target: string, headers = '') => {
      const text = await raw(
        base,
        `POST ${target} HTTP/1.1\r\nhost: ${authority}\r\n${headers}connection: close\r\ncontent-length: 1\r\n\r\n1`,
      )
      return [Number(text.slice(9, 12)), text] as const
    }
    for (const target of [`http://${authority}/orders/billing`, '/%6Frders/bill%69ng', '/%6frders/billing?x=%2F'])
      expect((await post(target))[0], target).toBe(204)
    expect(values).toEqual([1, 1, 1])
    for (const target of ['/orders/billing/', '//orders/billing', '/orders//billing', '/orders/']) {
      const [status, text] = await post(target)
      expect(status, target).toBe(404)
      expect(text).toContain(`did you mean ${target === '/orders/' ? '/orders' : '/orders/billing'}?`)
    }
    for (const target of ['/orders%2Fbilling', '/%', 'orders/billing', 'http://'])
      expect([400, 403, 404], target).toContain((await post(target))[0])
    expect((await post('/shop/billing'))[1]).toContain('there is /orders/billing; a prefix (STREAMSWITCH_PREFIX)')
    expect((await post('/shop/billing', 'x-forwarded-for: 192.0.2.1\r\n'))[1]).not.toContain('/orders/billing')
    for (const path of ['/healthz', '/readyz']) expect((await curl(['--head', `${base}${path}`])).status).toBe(200)
    expect((await curl(['--head', `${base}/orders/billing`])).status).toBe(405)
  })

  it('are refused when they are too large: by their length, while they stream, and by their headers', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ maxPayloadBytes: 2_000, maxRequestBytes: 4_000 })
    await consume(transport, 'orders', 'billing', () => {}, { codec: 'bytes' })
    const url = `${transport.base}/orders/billing`
    expect((await curl(['--data-binary', '@-', url], Buffer.alloc(2_000))).status).toBe(204)
    const tooLong = await curl(['--data-binary', '@-', url], Buffer.alloc(2_001))
    expect([tooLong.status, problem(tooLong.body)]).toMatchObject([413, { code: 'TOO_LARGE', retryable: false }])
    const chunked = ['-H', 'transfer-encoding: chunked', '--data-binary', '@-', url]
    expect((await curl(chunked, Buffer.alloc(3_000))).status, 'above the payload, below the request limit').toBe(413)
    expect(
      await raw(
        transport.base,
        `POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1388\r\n${'x'.repeat(5_000)}\r\n0\r\n\r\n`,
      ),
    ).toContain('413')
    expect(
      await raw(
        transport.base,
        `POST /orders/billing HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(140_000)}\r\n\r\n`,
      ),
    ).toContain('431')
  })

  it('are cut when they are no HTTP, or too slow: headers and body', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ headersTimeoutMs: 150, requestTimeoutMs: 400 })
    const handled: unknown[] = []
    await consume(transport, 'orders', 'billing', (message) => void handled.push(message.value))
    expect(await raw(transport.base, 'hello\r\n\r\n')).toMatch(
      /^HTTP\/1\.1 400 [\s\S]*problem\+json[\s\S]*INVALID_ARGUMENT/,
    )
    expect(await raw(transport.base, 'POST /orders/billing HTTP/1.1\r\nhost: localhost\r\n')).toMatch(
      /^HTTP\/1\.1 408 [\s\S]*TIMEOUT/,
    )
    expect(
      await raw(transport.base, 'POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n12'),
    ).toMatch(/^HTTP\/1\.1 408 /)
    expect(handled).toEqual([])
    expect((await curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])).status).toBe(204)
  })

  it('can not smuggle a header in by an id, a key or a header value', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const messages: Message[] = []
    await consume(transport, 'orders', 'billing', (message) => void messages.push(message))
    const evil = 'v\r\nstreamswitch-tombstone: 1\r\n\r\nPOST /orders/billing HTTP/1.1'
    await transport
      .producer('orders')
      .send('x', { key: evil.replaceAll('\r\n', '\u0085'), headers: { 'a b': evil, plain: evil } })
    expect(messages).toHaveLength(1)
    expect(messages[0]).toMatchObject({ value: 'x', headers: { 'a b': evil, plain: evil } })
  })
})

describe('backpressure', () => {
  it('answers 429 with Retry-After when the inbox and its waiting room are full, and takes the rest later', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    const values: unknown[] = []
    const settings = { concurrency: 1, prefetch: 1, maxAheadMessages: 2, http: { maxWaitingRecords: 2 } }
    await consume(
      transport,
      'orders',
      'billing',
      (message) => opened.then(() => void values.push(message.value)),
      settings,
    )
    const answers = Array.from({ length: 8 }, (_, index) =>
      curl([...JSON_TYPE, '-d', String(index), `${transport.base}/orders/billing`]),
    )
    const refusals: Awaited<(typeof answers)[number]>[] = []
    for (const answer of answers) void answer.then((one) => refusals.push(one))
    await until(() => refusals.length === 4, 'the refusals')
    const [refused] = refusals as [(typeof refusals)[number]]
    expect(refused.status).toBe(429)
    expect(refused.headers['retry-after']).toBe('1')
    expect(problem(refused.body)).toMatchObject({ code: 'RESOURCE_EXHAUSTED', retryable: true })
    open()
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 204)).toHaveLength(4)
    expect(statuses.filter((status) => status === 429)).toHaveLength(4)
    expect(values).toHaveLength(4)
    const producer = transport.producer('orders')
    await producer.sendBatch(Array.from({ length: 50 }, (_, index) => index))
    expect(values).toHaveLength(54)
  })
})

describe('life of the listening side', () => {
  it('serves health, tells when a loop stops, and is gone after the last loop', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    const one = await consume(transport, 'orders', 'billing', () => opened)
    const two = await consume(transport, 'orders', 'audit', () => {})
    expect((await curl([`${transport.base}/healthz`])).status).toBe(200)
    expect((await curl([`${transport.base}/readyz`])).status).toBe(200)
    const running = curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])
    await until(() => one.stats().running === 1, 'the handler')
    const closing = one.close()
    await until(() => one.stats().connected, 'the close to begin')
    const refused = await curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])
    expect([refused.status, refused.headers['retry-after'], problem(refused.body)]).toMatchObject([
      503,
      '1',
      { code: 'UNAVAILABLE', retryable: true },
    ])
    expect((await curl([`${transport.base}/readyz`])).status).toBe(503)
    expect((await curl([`${transport.base}/healthz`])).status).toBe(200)
    open()
    expect((await running).status, 'what ran was finished and answered').toBe(204)
    await closing
    expect((await curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/audit`])).status).toBe(204)
    await two.close()
    await expect(curl([`${transport.base}/healthz`])).rejects.toThrow('curl ended with 7')
  })

  it('closes at once although clients keep their connections alive', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const loop = await consume(transport, 'orders', 'billing', () => {})
    const sockets = await Promise.all(
      Array.from({ length: 5 }, async () => {
        const socket = connect(Number(new URL(transport.base).port), '127.0.0.1')
        socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: keep-alive\r\n\r\n')
        await new Promise((resolve) => socket.once('data', resolve))
        return socket
      }),
    )
    await transport.producer('orders').send(1)
    const started = Date.now()
    await loop.close()
    expect(Date.now() - started).toBeLessThan(1_500)
    for (const socket of sockets) socket.destroy()
  })

  it('answers 503 when a handler outlives the deadline of close; its late end does no harm', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    const loop = await consume(transport, 'orders', 'billing', () => opened)
    const answer = curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])
    await until(() => loop.stats().running === 1, 'the handler')
    await loop.close({ timeoutMs: 20 })
    expect((await answer).status).toBe(503)
    open()
  })

  it('goes on with a message whose client has gone away', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    let done = 0
    const loop = await consume(transport, 'orders', 'billing', async () => {
      await opened
      done += 1
    })
    const socket = connect(Number(new URL(transport.base).port), '127.0.0.1')
    socket.write('POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n1')
    await until(() => loop.stats().running === 1, 'the handler')
    socket.destroy()
    open()
    await until(() => loop.stats().acked === 1, 'the late ack')
    expect(done).toBe(1)
    expect((await curl([...JSON_TYPE, '-d', '1', `${transport.base}/orders/billing`])).status).toBe(204)
  })

  it('is shared by all transports of the process with one address, and by nobody who wants other limits', async () => {
    await using bed = new Bed()
    const one = await bed.open()
    const two = await bed.open({}, one.base)
    const other = await bed.open({ maxPayloadBytes: 10 }, one.base)
    await consume(one, 'orders', 'billing', () => {})
    await consume(two, 'invoices', 'billing', () => {})
    expect((await curl([...JSON_TYPE, '-d', '1', `${one.base}/invoices/billing`])).status).toBe(204)
    await expect(other.consumer('orders', { group: 'x' }).init()).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('other limits'),
    })
  })

  it('tells the port that was found where 0 was asked for', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ listen: '127.0.0.1:0' })
    await consume(transport, 'orders', 'billing', () => {})
    const { address } = transport.native as { address: { host: string; port: number } }
    expect((await curl([...JSON_TYPE, '-d', '1', `http://127.0.0.1:${address.port}/orders/billing`])).status).toBe(204)
  })

  it('says who is in the way when another process listens there, and where to change it', async () => {
    await using bed = new Bed()
    const port = await findFreePort()
    const squatter = (await import('node:net')).createServer().listen(port, '127.0.0.1')
    const transport = await bed.open({}, `http://127.0.0.1:${port}`)
    await expect(transport.consumer('orders', { group: 'x', connectTimeoutMs: 200 }).init()).rejects.toMatchObject({
      code: 'CONFLICT',
      message: expect.stringContaining('HTTP_LISTEN'),
    })
    await new Promise((resolve) => squatter.close(resolve))
  })

  it('lets in only who shows the token', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ listenToken: 'sesame' })
    await consume(transport, 'orders', 'billing', () => {})
    const url = `${transport.base}/orders/billing`
    const refused = await curl([...JSON_TYPE, '-d', '1', url])
    expect([refused.status, refused.headers['www-authenticate']]).toEqual([401, 'Bearer'])
    expect((await curl([...JSON_TYPE, '-H', 'authorization: Bearer wrong', '-d', '1', url])).status).toBe(401)
    expect((await curl([...JSON_TYPE, '-H', 'authorization: Bearer sesame', '-d', '1', url])).status).toBe(204)
    expect((await curl([`${transport.base}/healthz`])).status).toBe(200)
  })
})
