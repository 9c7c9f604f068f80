import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { Subscriber } from '../src/client/subscriber.js'
import { Bed, consume, gate, until } from './support/bed.js'
import { PlainReceiver } from './support/plain-receiver.js'

describe('sending to a plain receiver', () => {
  it('posts the encoded value with its content type and headers, one message per request', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const transport = await bed.open({ token: 'for routes only', endpoints: { orders: receiver.url } })
    const producer = transport.producer('orders')
    await producer.sendBatch([{ a: 1 }, { a: 2 }, { a: 3 }])
    await producer.send('x', { id: 'my id', key: 'k', headers: { traceparent: '00-1', 'content-type': 'text/x-own' } })
    expect(
      receiver.requests
        .slice(0, 3)
        .map(({ body }) => body.toString())
        .sort(),
    ).toEqual(['{"a":1}', '{"a":2}', '{"a":3}'])
    const [first, last] = [receiver.requests[0], receiver.requests[3]]
    expect(first).toMatchObject({ method: 'POST', url: '/hook', headers: { 'content-type': 'application/json' } })
    expect(first?.headers).not.toHaveProperty('authorization')
    expect(last?.headers).toMatchObject({
      'content-type': 'text/x-own',
      'idempotency-key': 'my%20id',
      'streamswitch-key': 'k',
      traceparent: '00-1',
    })
  })

  it('takes method, content type and token from the endpoint, or from the producer', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const transport = await bed.open({
      endpoints: {
        pings: { url: `${receiver.url}?x=1`, method: 'GET', token: 't' },
        texts: { url: receiver.url, contentType: 'text/markdown' },
      },
    })
    await transport.producer('pings').send({ name: 'Jörg' })
    await transport.producer('texts', { codec: 'text' }).send('# hi')
    await transport.producer('any', { codec: 'text', http: { endpoint: receiver.url } }).send('plain')
    await transport.producer('any', { http: { endpoint: receiver.url, method: 'GET' } }).send({ a: 1 })
    expect(
      receiver.requests.map(({ method, url, headers }) => [
        method,
        url,
        headers['content-type'],
        headers.authorization,
      ]),
    ).toEqual([
      ['GET', '/hook?x=1&name=J%C3%B6rg', undefined, 'Bearer t'],
      ['POST', '/hook', 'text/markdown', undefined],
      ['POST', '/hook', 'text/plain; charset=utf-8', undefined],
      ['GET', '/hook?a=1', undefined, undefined],
    ])
    await expect(transport.producer('pings').send([1])).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
      retryable: false,
    })
    await expect(transport.producer('any', { http: { endpoint: 'nowhere' } }).send(1)).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
  })

  it('comes again after 429 and 503, as late as Retry-After says, under the same id, and gives up on what can not be mended', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const transport = await bed.open({ endpoints: { orders: receiver.url } })
    receiver.answers.push(
      { status: 429, headers: { 'retry-after': '1' } },
      { status: 503, headers: { 'retry-after': '0' } },
      { status: 500 },
    )
    const started = Date.now()
    await transport.producer('orders').send(1, { id: 'same' })
    expect(Date.now() - started).toBeGreaterThanOrEqual(990)
    expect(
      receiver.requests.map(({ headers }) => [headers['idempotency-key'], headers['streamswitch-resend']]),
    ).toEqual(['0', '1', '2', '3'].map((resend) => ['same', resend]))
    for (const [status, code] of [
      [400, 'INVALID_ARGUMENT'],
      [401, 'UNAUTHENTICATED'],
      [403, 'PERMISSION_DENIED'],
      [409, 'CONFLICT'],
      [413, 'TOO_LARGE'],
      [302, 'INVALID_ARGUMENT'],
    ] as const) {
      receiver.answers.push({ status })
      await expect(transport.producer('orders').send(1)).rejects.toMatchObject({ code, retryable: false })
    }
    receiver.answers.push({
      status: 422,
      headers: { 'content-type': 'application/problem+json' },
      body: '{"title":"Sold out","detail":"sku 7","type":"about:blank"}',
    })
    await expect(transport.producer('orders').send(1)).rejects.toThrow('Sold out: sku 7 (status 422)')
    expect(receiver.requests).toHaveLength(11)
  })

  it('keeps its connections to a receiver, as many as it may have, and the next ones to themselves', async () => {
    await using bed = new Bed()
    await using orders = await PlainReceiver.listen()
    await using bills = await PlainReceiver.listen()
    const endpoints = { orders: orders.url, bills: bills.url }
    const transport = await bed.open({ connections: 3, endpoints })
    const producers = [transport.producer('orders'), transport.producer('bills')]
    for (const round of [1, 2]) {
      await Promise.all(
        producers.flatMap((producer) => Array.from({ length: 60 }, (_, index) => producer.send(index * round))),
      )
    }
    expect([orders.requests.length, bills.requests.length]).toEqual([120, 120])
    expect([orders.connections, bills.connections]).toEqual([3, 3])
  })

  it('sends single messages where batches are not understood', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const base = new URL(receiver.url).origin
    const transport = await bed.open({ routes: { orders: { hook: [base] } } })
    receiver.answers.push({ status: 415 })
    await transport.producer('orders').sendBatch([1, 2, 3])
    expect(
      receiver.requests
        .slice(1)
        .map(({ url, body }) => [url, body.toString()])
        .sort(),
    ).toEqual([
      ['/orders/hook', '1'],
      ['/orders/hook', '2'],
      ['/orders/hook', '3'],
    ])
    expect(bed.log.some((line) => line.includes('single messages'))).toBe(true)
    await transport.producer('orders').sendBatch([4, 5])
    expect(receiver.requests).toHaveLength(6)
  })

  it('does not take a 200 that says nothing of the messages for their acceptance', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const transport = await bed.open({ routes: { orders: { hook: [new URL(receiver.url).origin] } } })
    receiver.answers.push({ status: 200, body: 'whatever' })
    await transport.producer('orders').sendBatch([1, 2])
    expect(receiver.requests).toHaveLength(3)
  })
})

describe('sending to loops', () => {
  it('waits for a receiver that is still starting up', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const sending = await bed.open({}, receiving.base)
    const send = sending.producer('orders').send('early')
    await until(() => bed.log.some((line) => line.includes('nothing listens')), 'a refused connection')
    const values: unknown[] = []
    await consume(receiving, 'others', 'g', () => {})
    await until(() => bed.log.some((line) => line.includes("No loop here consumes 'orders'")), 'a 404')
    await consume(receiving, 'orders', 'g', (message) => void values.push(message.value))
    await send
    expect(values).toEqual(['early'])
  })

  it('rejects with NOT_FOUND where a group stays away longer than notFoundGraceMs, and for a route without groups at once', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ routes: { nobody: {} } })
    await consume(transport, 'orders', 'g', () => {})
    await expect(transport.producer('other', { http: { notFoundGraceMs: 100 } }).send(1)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      retryable: false,
    })
    await expect(transport.producer('nobody').send(1)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: expect.stringContaining('HTTP_ROUTES'),
    })
  })

  it('a handler may take longer than publishTimeoutMs and responseTimeoutMs: it is started once, its sender waits', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ responseTimeoutMs: 100 })
    const { opened, open } = gate()
    let starts = 0
    await consume(transport, 'orders', 'g', () => {
      starts += 1
      return opened
    })
    const producer = transport.producer('orders', { publishTimeoutMs: 50 })
    const sends = [producer.send(1, { key: 'k' }), producer.send(2, { key: 'other' }), producer.send(3)]
    await until(() => producer.stats().resent >= 6, 'every message to be sent again')
    expect([starts, producer.stats().reconnects]).toEqual([3, 0])
    open()
    await Promise.all(sends)
    expect(starts).toBe(3)
  })

  it('a clock that is set forward makes no response late', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const { opened, open } = gate()
    let starts = 0
    await consume(transport, 'orders', 'g', () => {
      starts += 1
      return opened
    })
    const producer = transport.producer('orders')
    const sent = producer.send(1)
    await until(() => starts === 1, 'the handler to start')
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 })
    const sweep = vi.spyOn(Subscriber.prototype, 'sweep')
    onTestFinished(() => {
      vi.useRealTimers()
      sweep.mockRestore()
    })
    await until(() => sweep.mock.calls.length >= 2, 'a look at what is on its way')
    open()
    await sent
    expect(producer.stats().resent).toBe(0)
  })

  it('a slow message holds up neither the others of its request nor those of other keys', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ connections: 2 })
    const { opened, open } = gate()
    await consume(transport, 'orders', 'g', (message) => (message.value === 'slow' ? opened : undefined), {
      concurrency: 20,
    })
    const producer = transport.producer('orders')
    const slow = producer.send('slow', { key: 'slow' })
    const [behind, ...others] = [
      producer.send('behind', { key: 'slow' }),
      ...Array.from({ length: 30 }, (_, index) => producer.send(index, { key: `k${index % 3}` })),
    ]
    await Promise.all(others)
    let settled = false
    void behind?.then(() => {
      settled = true
    })
    for (let index = 0; index < 20; index += 1) await producer.send(index)
    expect(settled).toBe(false)
    open()
    await Promise.all([slow, behind])
  })

  it('counts attempts as the receiver does, not its own resends', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const sending = await bed.open({}, receiving.base)
    const send = sending.producer('orders').send(1)
    await until(() => bed.log.filter((line) => line.includes('nothing listens')).length >= 2, 'two refused connections')
    const attempts: number[] = []
    await consume(receiving, 'orders', 'g', (message) => {
      attempts.push(message.attempt)
      if (message.attempt < 3) throw new Error('again')
    })
    await send
    expect(attempts).toEqual([1, 2, 3])
  })

  it('reads its token anew after a 401, and gives up when it is still the same', async () => {
    await using bed = new Bed()
    const receiving = await bed.open({ listenToken: 'new' })
    await consume(receiving, 'orders', 'g', () => {})
    let token = 'old'
    let reads = 0
    const sending = await bed.open(
      {
        token: () => {
          reads += 1
          return token
        },
      },
      receiving.base,
    )
    const producer = sending.producer('orders')
    await expect(producer.send(1)).rejects.toMatchObject({ code: 'UNAUTHENTICATED', retryable: false })
    token = 'new'
    await Promise.all([producer.send(2), producer.sendBatch([3, 4])])
    expect(reads).toBe(3)
  })

  it('drops what is under way when the transport closes, and says so', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const sending = await bed.open({}, receiving.base)
    const { opened, open } = gate()
    const loop = await consume(receiving, 'orders', 'g', () => opened)
    const send = sending.producer('orders').send(1)
    const outcome = expect(send).rejects.toMatchObject({ code: 'CLOSED' })
    await until(() => loop.stats().running === 1, 'the handler')
    const started = Date.now()
    await sending.close({ timeoutMs: 50 })
    await outcome
    expect(Date.now() - started).toBeLessThan(2_000)
    open()
  })
})
