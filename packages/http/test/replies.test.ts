import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { Transport } from '@streamswitch/core'
import { expect, it } from 'vitest'
import http from '../src/index.js'

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { readonly port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

it('curl sees the parts of a reply while the handler still works', { timeout: 30_000 }, async () => {
  const base = `http://127.0.0.1:${await unusedPort()}`
  await using transport = new Transport(http, base, { environment: {}, logger: silent })
  const loop = transport.consumer<{ year: number }>('reports', { group: 'accounting' })
  let goOn: () => void = () => {}
  const seen = new Promise<void>((resolve) => {
    goOn = resolve
  })
  loop.handle(async (message) => {
    await message.respond({ year: message.value.year, month: 1 })
    await seen
    return { month: 2 }
  })
  void loop.run()
  await loop.init()
  const curl = spawn('curl', [
    '-sNi',
    '-H',
    'Accept: multipart/mixed',
    '-d',
    '{"year":2026}',
    `${base}/reports/accounting`,
  ])
  let output = ''
  curl.stdout.on('data', (chunk) => {
    output += String(chunk)
    // The handler ends only once its first part has reached curl.
    if (output.includes('"month":1')) goOn()
  })
  await once(curl, 'close')
  expect(output).toMatch(/^HTTP\/1.1 200 OK/)
  expect(output).toMatch(/content-type: multipart\/mixed; boundary=/i)
  expect(output).toContain('{"year":2026,"month":1}')
  expect(output).toMatch(/streamswitch-reply-end: 1\r\ncontent-length: 11\r\n\r\n{"month":2}\r\n--[a-z0-9-]+--\r\n$/)
})
