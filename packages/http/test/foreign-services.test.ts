import type { ServerResponse } from 'node:http'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { Bed } from './support/bed.js'
import { PlainReceiver } from './support/plain-receiver.js'

const PROBLEM = 'application/problem+json'

/** A producer whose topic is a plain service's. */
async function open(bed: Bed, receiver: PlainReceiver, options: Record<string, unknown> = {}) {
  const transport = await bed.open({ endpoints: { orders: receiver.url }, ...options })
  return transport.producer('orders')
}

describe('a request to a service that knows nothing of Streamswitch', () => {
  it.each([
    [500, PROBLEM, '{"title":"Out of stock","detail":"item 7"}', 'UNKNOWN', 'Out of stock: item 7 (status 500)'],
    [404, PROBLEM, '{"title":"No such order"}', 'NOT_FOUND', 'No such order (status 404)'],
    [404, 'text/html', '<h1>Not Found</h1>', 'NOT_FOUND', 'hook: status 404'],
    [
      500,
      'application/json',
      '{"error":{"message":"database\\nis away"}}',
      'UNKNOWN',
      'database\\nis away (status 500)',
    ],
    [500, 'application/json', '{"message":"m","error":"e"}', 'UNKNOWN', 'm: e (status 500)'],
    [500, 'text/plain', ' it\u001b[2J broke \n', 'UNKNOWN', 'it\\u001b[2J broke (status 500)'],
    [500, 'text/plain', 'x'.repeat(2_000_000), 'UNKNOWN', 'xxx (status 500)'],
    [500, 'application/json', `{"title":"${'x'.repeat(2_000_000)}"}`, 'UNKNOWN', 'hook: status 500'],
    [501, PROBLEM, '[]', 'UNSUPPORTED', 'hook: status 501'],
    [400, PROBLEM, '\ufeff{"title":"Bad"}', 'INVALID_ARGUMENT', 'Bad (status 400)'],
    [410, PROBLEM, '{"code":"CONFLICT","title":"Gone"}', 'CONFLICT', 'Gone (status 410)'],
    [507, 'text/plain', '', 'UNKNOWN', 'hook: status 507'],
  ])('rejects at once with status and reason: %i %s', async (status, type, body, code, message) => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const producer = await open(bed, receiver)
    receiver.answers.push({ status, headers: { 'content-type': type }, body })
    const error: unknown = await producer
      .request({ id: 7 })
      .read()
      .catch((one: unknown) => one)
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringContaining(message) as unknown })
    expect((error as Error).message.length).toBeLessThanOrEqual(2_000)
    expect(receiver.requests).toHaveLength(1)
  })

  it('is asked again while it says that it is busy, and a timeout names the last answer', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const producer = await open(bed, receiver)
    receiver.answers.push({ status: 503 }, { status: 429 }, { status: 200, body: '"done"' })
    expect(await producer.request(1).read()).toBe('done')
    receiver.answer = (_request, response) =>
      void response.writeHead(503, { 'content-type': PROBLEM }).end('{"title":"Maintenance"}')
    await expect(producer.request(1, { timeoutMs: 300 }).read()).rejects.toMatchObject({
      code: 'TIMEOUT',
      message: expect.stringContaining('Maintenance (status 503)') as unknown,
    })
  })

  it('decodes the content codings of replies and reasons, within the limit', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const producer = await open(bed, receiver, { maxPayloadBytes: 100_000 })
    const answer = (status: number, encoding: string, body: Buffer, type = 'application/json'): void => {
      receiver.answers.push({ status, headers: { 'content-type': type, 'content-encoding': encoding }, body })
    }
    const read = () => producer.request(1).read()
    const reply = JSON.stringify({ list: 'x'.repeat(50_000) })
    const codings: [string, (bytes: Buffer) => Buffer][] = [
      ['gzip', gzipSync],
      ['deflate', deflateSync],
      ['br', brotliCompressSync],
      ['br, gzip', (bytes) => gzipSync(brotliCompressSync(bytes))],
      ['identity', (bytes) => bytes],
    ]
    for (const [coding, encode] of codings) {
      answer(200, coding, encode(Buffer.from(reply)))
      expect(await read(), coding).toEqual(JSON.parse(reply))
    }
    answer(500, 'gzip', gzipSync(Buffer.from('{"title":"Out of stock"}')), PROBLEM)
    await expect(read()).rejects.toMatchObject({ message: expect.stringContaining('Out of stock') as unknown })
    answer(500, 'gzip', Buffer.from('no gzip'), PROBLEM)
    await expect(read()).rejects.toMatchObject({ message: expect.stringContaining('status 500') as unknown })
    answer(200, 'gzip', gzipSync(Buffer.alloc(20_000_000)))
    await expect(read()).rejects.toMatchObject({ code: 'TOO_LARGE' })
    answer(200, 'zstd', Buffer.from('x'))
    await expect(read()).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    answer(200, 'gzip', gzipSync(Buffer.from(reply)).subarray(0, -4))
    await expect(read()).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
  })
})

describe('a 2xx of an endpoint', () => {
  const odd: [string, (response: ServerResponse) => void][] = [
    ['JSON that is none', (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('{')],
    ['a problem', (response) => response.writeHead(202, { 'content-type': PROBLEM }).end('{"status":500}')],
    [
      'lines that look like refusals',
      (response) =>
        response
          .writeHead(200, { 'content-type': 'application/x-ndjson' })
          .end('{"index":0,"status":500,"title":"x"}\n'),
    ],
    ['a body of another coding', (response) => response.writeHead(200, { 'content-encoding': 'zstd' }).end('x')],
    ['5 MB', (response) => response.writeHead(200, { 'content-type': 'application/json' }).end('x'.repeat(5_000_000))],
    [
      'a body that breaks off',
      (response) => {
        response.writeHead(200, { 'content-length': '100' }).write('half')
        setImmediate(() => response.destroy())
      },
    ],
    [
      'a body that never ends',
      (response) => {
        response.writeHead(200).write('.')
        const timer = setInterval(() => response.write('.'), 20)
        response.on('close', () => clearInterval(timer))
      },
    ],
  ]
  it.each(odd)('accepts the message whatever its body is: %s', async (_title, answer) => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    receiver.answer = (_request, response) => answer(response)
    const producer = await open(bed, receiver, { responseTimeoutMs: 300 })
    await producer.send({ id: 7 })
    await producer.send({ id: 8 })
    expect(receiver.requests).toHaveLength(2)
  })
})
