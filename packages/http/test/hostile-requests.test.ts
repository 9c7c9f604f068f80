import { connect, type Socket } from 'node:net'
import { isStreamError, Transport } from '@streamswitch/core'
import { findFreePort as freePort } from '@streamswitch/testkit/brokers'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import http from '../src/index.js'
import { decodeBatch } from '../src/wire/batch-frames.js'

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

async function serving(options: Readonly<Record<string, unknown>> = {}) {
  const port = await freePort()
  const transport = new Transport(http, `http://127.0.0.1:${port}`, { environment: {}, logger: QUIET, options })
  onTestFinished(() => transport.close({ timeoutMs: 0 }))
  const handled: unknown[] = []
  const loop = transport.consumer('orders', { group: 'billing' })
  loop.handle((message) => void handled.push(message.value))
  await loop.init()
  void loop.run()
  return { port, transport, handled }
}

function socketTo(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
  })
}

/** Sends bytes and resolves with everything that came until the server closed. */
async function answerTo(port: number, bytes: Buffer): Promise<string> {
  const socket = await socketTo(port)
  socket.removeAllListeners('error').on('error', () => {})
  let answer = ''
  socket.on('data', (data) => {
    answer += data.toString('latin1')
  })
  socket.end(bytes)
  await new Promise((resolve) => socket.on('close', resolve))
  return answer
}

test('random bytes and requests that were changed never break the server, and never reach a handler by a way around', async () => {
  const { port, transport, handled } = await serving({ headersTimeoutMs: 200, requestTimeoutMs: 400 })
  const request = Buffer.from(
    'POST /orders/billing HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nstreamswitch-id: a\r\nstreamswitch-headers: h\r\nh: v\r\ncontent-length: 3\r\n\r\n"x"',
  )
  const changed = fc
    .array(fc.tuple(fc.nat(request.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 })
    .map((edits) => {
      const bytes = Buffer.from(request)
      for (const [at, value] of edits) bytes[at] = value
      return bytes
    })
  const random = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  const samples = fc.sample(fc.oneof(changed, random), 150)
  const answers = await Promise.all(samples.map((bytes) => answerTo(port, bytes)))
  for (const [index, answer] of answers.entries())
    expect(/^$|^HTTP\/1\.1 (?:[24]\d\d|503) /.test(answer), `${samples[index]?.toString('latin1')} -> ${answer}`).toBe(
      true,
    )
  for (const value of handled) expect(typeof value).not.toBe('undefined')
  await transport.producer('orders').send('still there')
  await expect.poll(() => handled).toContain('still there')
})

test('any bytes as a batch are read, or refused with an error of ours', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
      try {
        Array.from(decodeBatch(Buffer.from(bytes)))
      } catch (error) {
        expect(isStreamError(error)).toBe(true)
      }
    }),
    { numRuns: 1_000 },
  )
})

test('clients that connect and say nothing are held up to a number, and let go after a time; others are served', async () => {
  const { port, transport, handled } = await serving({
    maxConnections: 60,
    headersTimeoutMs: 300,
    requestTimeoutMs: 300,
  })
  let closed = 0
  const sockets = await Promise.all(Array.from({ length: 200 }, () => socketTo(port)))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) {
    socket.removeAllListeners('error').on('error', () => {})
    socket.on('close', () => {
      closed += 1
    })
    socket.resume()
  }
  // Beyond the number at once, within it when their time for a request is over.
  await expect.poll(() => closed, { timeout: 10_000 }).toBe(200)
  await transport.producer('orders').send('served')
  await expect.poll(() => handled).toContain('served')
})
