import { connect } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { rawRequest } from './support/raw-request.js'
import { ServerProcess } from './support/server-process.js'

let server: ServerProcess

beforeAll(async () => {
  server = await ServerProcess.start({ loops: [{ topic: 'orders', group: 'billing', codec: 'bytes' }] })
})
afterAll(() => server[Symbol.asyncDispose]())

const HIDDEN = 'POST /orders/billing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhidden'
const CHUNKED = 'Transfer-Encoding: chunked'
const NONE = '0\r\n\r\n'

/** Header lines that a proxy and this server could measure a body by differently, and a body with another request in it. */
const AMBIGUOUS: readonly (readonly [what: string, lines: readonly string[], body: string])[] = [
  ['a length beside chunks', [`Content-Length: ${NONE.length + HIDDEN.length}`, CHUNKED], NONE + HIDDEN],
  ['chunks beside a length', [CHUNKED, 'Content-Length: 3'], NONE + HIDDEN],
  ['two lengths', ['Content-Length: 0', `Content-Length: ${HIDDEN.length}`], HIDDEN],
  ['two lengths in one line', [`Content-Length: 0, ${HIDDEN.length}`], HIDDEN],
  ['white space before the colon of a length', [`Content-Length : ${HIDDEN.length}`], HIDDEN],
  ['white space before the colon of an encoding', ['Transfer-Encoding : chunked'], NONE + HIDDEN],
  ['an encoding that resembles chunks', ['Transfer-Encoding: xchunked'], NONE + HIDDEN],
  ['chunks that are not the last encoding', ['Transfer-Encoding: chunked, identity'], NONE + HIDDEN],
  ['two encodings', [CHUNKED, 'Transfer-Encoding: cow'], NONE + HIDDEN],
  ['an encoding behind a control character', ['Transfer-Encoding: \vchunked'], NONE + HIDDEN],
  ['a negative length', ['Content-Length: -1'], HIDDEN],
  ['a length with a sign', [`Content-Length: +${HIDDEN.length}`], HIDDEN],
  ['a length in hexadecimal', ['Content-Length: 0x0'], HIDDEN],
  ['a length beyond 2^64', ['Content-Length: 18446744073709551616'], HIDDEN],
  ['a chunk of negative size', [CHUNKED], `-1\r\n${HIDDEN}`],
  ['a chunk size beyond 2^64', [CHUNKED], `10000000000000000\r\n${HIDDEN}`],
  ['a chunk size with a prefix', [CHUNKED], `0x0\r\n\r\n${HIDDEN}`],
  ['a chunk that ends elsewhere', [CHUNKED], `1\r\nab\r\n${NONE}${HIDDEN}`],
  ['a header line that ends by CR alone', [`X: 1\rContent-Length: ${HIDDEN.length}`], HIDDEN],
  ['a header name with NUL', [`Content-Length\0: ${HIDDEN.length}`], HIDDEN],
  ['a line without a colon', [`Content-Length ${HIDDEN.length}`], HIDDEN],
]

/** All that the server answers on one connection until it closes it. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1', () => socket.write(bytes, 'latin1'))
    let received = ''
    socket.setEncoding('latin1').on('data', (data) => {
      received += String(data)
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(received))
  })
}

it.each(AMBIGUOUS)('a request whose end is ambiguous ends its connection: %s', async (_what, lines, body) => {
  const { handled } = await server.stats()
  const head = ['POST /orders/billing HTTP/1.1', 'Host: localhost', ...lines]
  const received = await exchange(`${head.join('\r\n')}\r\n\r\n${body}`)
  expect(received.match(/HTTP\/1\.1 \d+/g), received).toEqual(['HTTP/1.1 400'])
  expect((await server.stats()).handled).toBe(handled)
  expect((await rawRequest(server.url)).status).toBe(204)
})

it.each([
  '/orders/../orders/../etc/passwd',
  '/..%2f..%2fetc/passwd',
  '/%2e%2e/%2e%2e/etc/passwd',
  '/orders/billing/../../../../etc/passwd',
  '/orders\\..\\billing',
  '/orders/billing%00.json',
  '/orders/%c0%ae%c0%ae/billing',
  '/__proto__/constructor',
  '/constructor/prototype',
  '/toString',
])('a path that leads elsewhere is not found: %s', async (target) => {
  const { handled } = await server.stats()
  const answer = await rawRequest(server.url, { target })
  expect([400, 404]).toContain(answer.status)
  expect(answer.body).not.toContain('root:')
  expect((await server.stats()).handled).toBe(handled)
})
