import { type Certificates, makeCertificates } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Bed } from './support/bed.js'
import { RawClients } from './support/raw-clients.js'
import { ServerProcess, type ServerSpec } from './support/server-process.js'

const MAX = 100
const HEAD = 'POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'

let certificates: Certificates

beforeAll(async () => {
  certificates = await makeCertificates()
})

afterAll(() => certificates?.remove())

async function serving(options: Readonly<Record<string, unknown>> = {}, loops?: ServerSpec['loops']) {
  const server = await ServerProcess.start({
    options: { maxConnections: MAX, ...options },
    loops: loops ?? [{ topic: 'orders', group: 'billing' }],
  })
  const bed = new Bed()
  const sending = await bed.open({ tlsCaFile: certificates.caFile }, server.url)
  const clients = new RawClients(server.port)
  return {
    server,
    clients,
    sending,
    async expectServed(): Promise<void> {
      const { handled } = await server.stats()
      for (let count = 0; count < 5; count += 1) await sending.producer('orders').send('honest')
      expect((await server.stats()).handled).toBeGreaterThanOrEqual(handled + 5)
    },
    answered: (status: string) =>
      clients.all.filter(({ received }) => received.startsWith(`HTTP/1.1 ${status} `)).length,
    async [Symbol.asyncDispose]() {
      clients[Symbol.dispose]()
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** Waits until the server holds no more than the honest client's own connections. */
async function gone(server: ServerProcess): Promise<void> {
  await expect.poll(async () => (await server.stats()).connections, { timeout: 20_000 }).toBeLessThanOrEqual(5)
}

describe('clients that hold connections', () => {
  for (const [what, bytes] of [
    ['that say nothing', ''],
    ['that stop within the request line', 'POST /ord'],
    ['that stop within a header', `${HEAD}x-slow: `],
    ['that stop within the body', `${HEAD}content-length: 10\r\n\r\n12`],
    ['that stop within a chunk', `${HEAD}transfer-encoding: chunked\r\n\r\nff\r\n12`],
  ] as const) {
    it(`${what} are answered 408 and cut at once, though they never close; others are served meanwhile`, async () => {
      await using bed = await serving({ headersTimeoutMs: 1_500, requestTimeoutMs: 1_500 })
      await bed.clients.connect(MAX, bytes)
      await bed.expectServed()
      await gone(bed.server)
      // Some had to go before their time was over, for those who were served.
      await expect.poll(() => bed.answered('408')).toBeGreaterThan(MAX / 2)
      await bed.expectServed()
      const { cpuMs, peakMib } = await bed.server.stats()
      expect(cpuMs).toBeLessThan(10_000)
      expect(peakMib).toBeLessThan(400)
    })
  }

  it('beyond the maximum are let in by the place of those that wait longest; no client has to wait for a timeout', async () => {
    await using bed = await serving({ headersTimeoutMs: 600_000, requestTimeoutMs: 600_000 })
    await bed.clients.connect(MAX)
    await bed.expectServed()
    await bed.clients.connect(MAX, `${HEAD}content-length: 10\r\n\r\n12`)
    await bed.expectServed()
    await bed.clients.connect(MAX, 'GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await bed.expectServed()
    expect((await bed.server.stats()).connections).toBeLessThanOrEqual(MAX)
  })

  it('by asking without end and reading nothing are passed over for others', async () => {
    const maxConnections = 20
    await using bed = await serving({ maxConnections, headersTimeoutMs: 600_000, requestTimeoutMs: 600_000 })
    const requests = 'GET /nothing HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(2_000)
    await bed.clients.connect(maxConnections, requests, { reads: false })
    await bed.expectServed()
    const { peakMib, connections, longestTurnMs } = await bed.server.stats()
    expect(longestTurnMs).toBeLessThan(2_000)
    expect(connections).toBeLessThanOrEqual(maxConnections)
    expect(peakMib).toBeLessThan(600)
  })

  it('and come again as often as they are cut do not keep others out', async () => {
    await using bed = await serving({ headersTimeoutMs: 200, requestTimeoutMs: 200 })
    await bed.clients.flood(2 * MAX)
    for (let round = 0; round < 5; round += 1) await bed.expectServed()
    expect(bed.server.alive).toBe(true)
    expect((await bed.server.stats()).connections).toBeLessThanOrEqual(MAX + 1)
  })

  it('do not displace requests that are being handled: with all connections in handlers, a new one is refused', async () => {
    const loops = [
      { topic: 'orders', group: 'billing' },
      { topic: 'slow', group: 'billing', handler: 'never', concurrency: 1_000, ordering: 'none' },
    ]
    await using bed = await serving({ maxConnections: 10 }, loops)
    await bed.clients.connect(10, `${HEAD.replace('orders', 'slow')}content-length: 1\r\n\r\n1`)
    await expect.poll(async () => (await bed.server.stats()).handled).toBe(10)
    using others = new RawClients(bed.server.port)
    await others.connect(20)
    await expect.poll(() => others.all.every(({ closed }) => closed)).toBe(true)
    expect(bed.clients.all.some(({ closed }) => closed)).toBe(false)
    bed.clients[Symbol.dispose]()
    await bed.expectServed()
  })
})

describe('clients that hold connections over TLS', () => {
  const hello = Buffer.from('1603010200010001fc0303', 'hex')
  for (const [what, bytes] of [
    ['say nothing', ''],
    ['stop within their hello', hello],
    ['speak HTTP', 'GET /healthz HTTP/1.1\r\n\r\n'],
  ] as const) {
    it(`are cut when they ${what}; others are served meanwhile`, async () => {
      const tls = { listenTlsCertFile: certificates.certFile, listenTlsKeyFile: certificates.keyFile }
      await using bed = await serving({ ...tls, headersTimeoutMs: 1_000, requestTimeoutMs: 1_000 })
      await bed.clients.connect(MAX, bytes)
      await bed.expectServed()
      await gone(bed.server)
      await bed.expectServed()
      expect((await bed.server.stats()).cpuMs).toBeLessThan(10_000)
    })
  }

  it('are let in by the place of those that wait for a handshake or for a request', async () => {
    const tls = { listenTlsCertFile: certificates.certFile, listenTlsKeyFile: certificates.keyFile }
    await using bed = await serving({ ...tls, headersTimeoutMs: 600_000, requestTimeoutMs: 600_000 })
    await bed.clients.connect(MAX, hello)
    await bed.expectServed()
    expect((await bed.server.stats()).connections).toBeLessThanOrEqual(MAX)
  })
})

describe('requests that are no HTTP', () => {
  for (const [what, bytes, status] of [
    ['other bytes', 'hello\r\n\r\n', '400'],
    ['a wrong chunk', `${HEAD}transfer-encoding: chunked\r\n\r\nzz\r\n`, '400'],
    ['two lengths', `${HEAD}content-length: 1\r\ncontent-length: 2\r\n\r\n1`, '400'],
    ['headers above the limit', `${HEAD}x: ${'y'.repeat(140_000)}\r\n\r\n`, '431'],
  ] as const) {
    it(`are answered and cut at once: ${what}`, async () => {
      await using bed = await serving({ headersTimeoutMs: 600_000, requestTimeoutMs: 600_000 })
      await bed.clients.connect(MAX, bytes)
      await gone(bed.server)
      await expect.poll(() => bed.answered(status)).toBe(MAX)
      await bed.expectServed()
    })
  }

  it('behind one that is being handled are cut without an answer that could be taken for its response', async () => {
    const loops = [
      { topic: 'orders', group: 'billing' },
      { topic: 'slow', group: 'billing', handler: 'never' },
    ]
    await using bed = await serving({ headersTimeoutMs: 500, requestTimeoutMs: 500 }, loops)
    const slow = `${HEAD.replace('orders', 'slow')}content-length: 1\r\n\r\n1`
    await bed.clients.connect(10, `${slow}GET`)
    await bed.clients.connect(10, `${slow}\u0000\u0000`)
    await gone(bed.server)
    expect(bed.clients.all.map(({ received }) => received).join('')).toBe('')
    await bed.expectServed()
  })
})
