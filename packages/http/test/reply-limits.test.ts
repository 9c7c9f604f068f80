import { request } from 'node:http'
import { formatReplyAddress } from '@streamswitch/core/driver'
import { describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { PlainReceiver } from './support/plain-receiver.js'
import { ServerProcess } from './support/server-process.js'

const SIZE = 200_000
const LOOPS = [
  { topic: 'orders', group: 'billing' },
  { topic: 'whole', group: 'g', handler: 'reply' },
  { topic: 'parts', group: 'g', handler: 'parts' },
]
/** What 32 MiB of kept replies, and those in flight, may add. */
const ADDED_MIB = 200
const KEPT_BYTES = 32 * 1024 * 1024

async function serving() {
  const server = await ServerProcess.start({ loops: LOOPS })
  const bed = new Bed()
  const transport = await bed.open({ connections: 10 }, server.url)
  // Warm: what modules and buffers take is there.
  await Promise.all(Array.from({ length: 20 }, () => transport.producer('whole').request(SIZE).read()))
  const before = await server.stats()
  return {
    server,
    transport,
    async expectBounded(keptBytes = KEPT_BYTES): Promise<void> {
      await transport.producer('orders').send('honest')
      const { peakMib, cpuMs, kept } = await server.stats()
      expect(kept?.bytes).toBeLessThanOrEqual(keptBytes)
      expect(kept?.replies).toBeLessThanOrEqual(10_000)
      expect(peakMib - before.peakMib).toBeLessThan(ADDED_MIB)
      expect(cpuMs - before.cpuMs).toBeLessThan(30_000)
      expect(server.alive).toBe(true)
    },
    async [Symbol.asyncDispose]() {
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

interface Asked {
  readonly status: number
  readonly body: Buffer
}

/** Asks as our own sender does, on a connection of its own; `after`: cuts the connection when so many bytes have come. */
function ask(base: string, topic: string, value: string, id: string, after = Number.POSITIVE_INFINITY): Promise<Asked> {
  const replyTo = encodeURIComponent(formatReplyAddress('http', 'response.test', id))
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let status = 0
    const done = (): void => resolve({ status, body: Buffer.concat(chunks) })
    const asking = request(`${base}/${topic}/g`, {
      method: 'POST',
      agent: false,
      headers: {
        'content-type': 'application/json',
        'streamswitch-id': id,
        'streamswitch-timestamp': '1',
        'streamswitch-resend': after === Number.POSITIVE_INFINITY ? '1' : '0',
        'streamswitch-headers': 'content-type',
        'streamswitch-encoded-headers': `streamswitch-reply-to=${replyTo}`,
      },
    })
    asking.on('error', done)
    asking.on('response', (response) => {
      status = response.statusCode ?? 0
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        bytes += chunk.length
        if (bytes >= after) response.destroy()
      })
      response.on('error', () => {}).on('close', done)
    })
    asking.end(value)
  })
}

async function inTurns(count: number, width: number, one: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) {
        next += 1
        await one(next)
      }
    }),
  )
}

describe('replies that were read', () => {
  it('are not kept: 300 of 200 kB', async () => {
    await using bed = await serving()
    const producer = bed.transport.producer('whole')
    await inTurns(300, 20, async () => {
      expect(String(await producer.request(SIZE).read())).toHaveLength(SIZE)
    })
    // The last one of each connection, of which each topic has ten.
    await bed.expectBounded(25 * SIZE)
  })

  it('are not kept in parts: 200 of ten parts', async () => {
    await using bed = await serving()
    const producer = bed.transport.producer('parts')
    await inTurns(200, 20, async () => {
      let bytes = 0
      for await (const part of producer.request(new Array<number>(10).fill(SIZE / 10))) bytes += String(part).length
      expect(bytes).toBe(SIZE)
    })
    // The last one of each connection, of which each topic has ten.
    await bed.expectBounded(25 * SIZE)
  })

  it('are kept up to a sum where callers do not come again on their connection, and not at all where none can', async () => {
    await using bed = await serving()
    await inTurns(250, 20, async (index) => {
      expect((await ask(bed.server.url, 'whole', String(SIZE), `id-${index}`)).body.length).toBeGreaterThan(SIZE)
    })
    await bed.expectBounded()
    await inTurns(250, 20, async () => {
      const headers = { accept: 'multipart/mixed', 'content-type': 'application/json', connection: 'close' }
      const response = await fetch(`${bed.server.url}/whole/g`, { method: 'POST', body: String(SIZE), headers })
      expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(SIZE)
    })
    await bed.expectBounded()
  })

  it('do not keep their requests: 200 of 500 kB', async () => {
    await using bed = await serving()
    const value = `[1${' '.repeat(500_000)}]`
    await inTurns(200, 10, async (index) => {
      expect((await ask(bed.server.url, 'parts', value, `large-${index}`)).status).toBe(200)
    })
    await bed.expectBounded()
  })
})

describe('replies that broke off', () => {
  it('are sent again whole to a caller that asks again; of one that is not kept any more the caller is told so', async () => {
    await using bed = await serving()
    const { url } = bed.server
    const first = await ask(url, 'whole', String(SIZE), 'cut', 1)
    expect(first.body.length).toBeLessThan(2 * SIZE)
    const again = await ask(url, 'whole', String(SIZE), 'cut')
    expect([again.status, again.body.includes('x'.repeat(SIZE))]).toEqual([200, true])
    // 40 MB of others: more than is kept of all.
    await inTurns(200, 10, (index) => ask(url, 'whole', String(SIZE), `other-${index}`))
    const late = await ask(url, 'whole', String(SIZE), 'cut')
    expect(late.status).toBe(410)
    expect(JSON.parse(late.body.toString())).toMatchObject({ code: 'ABORTED', retryable: false })
    await bed.expectBounded()
  })

  it('and are never asked for again cost no more than those that were read', async () => {
    await using bed = await serving()
    await inTurns(250, 20, (index) => ask(bed.server.url, 'whole', String(SIZE), `gone-${index}`, 1))
    await bed.expectBounded()
  })
})

describe('a reply above maxPayloadBytes', () => {
  const tooLarge = { name: 'StreamError', code: 'TOO_LARGE', retryable: false }

  it('is an error for the caller: as a whole, as the first part, as a later one', async () => {
    await using bed = new Bed()
    const transport = await bed.open({ maxPayloadBytes: 1_000 })
    await consume(transport, 'whole', 'g', ({ value }) => 'x'.repeat(Number(value)))
    await consume(transport, 'parts', 'g', async function* ({ value }) {
      for (const size of value as number[]) yield 'x'.repeat(size)
    })
    const whole = transport.producer('whole')
    await expect(whole.request(1_000).read()).rejects.toMatchObject(tooLarge)
    expect(await whole.request(998).read()).toHaveLength(998)
    const parts = transport.producer('parts')
    for (const sizes of [[1_000], [1, 1_000], [1, 2, 1_000, 3]]) {
      const read: number[] = []
      const reading = (async () => {
        for await (const part of parts.request(sizes)) read.push(String(part).length)
      })()
      await expect(reading).rejects.toMatchObject(tooLarge)
      expect(read).toEqual(sizes.slice(0, sizes.indexOf(1_000)))
    }
  })

  it('is one for a foreign caller, in the end of the reply, and from a plain service, as its body', async () => {
    await using bed = new Bed()
    await using plain = await PlainReceiver.listen()
    const transport = await bed.open({ maxPayloadBytes: 1_000, endpoints: { plain: plain.url } })
    await consume(transport, 'whole', 'g', ({ value }) => 'x'.repeat(Number(value)))
    const headers = { accept: 'multipart/mixed', 'content-type': 'application/json' }
    const response = await fetch(`${transport.base}/whole/g`, { method: 'POST', body: '1000', headers })
    expect(await response.text()).toContain('streamswitch-error-code: TOO_LARGE')
    plain.answers.push({ status: 200, body: 'y'.repeat(1_001) })
    await expect(transport.producer('plain').request(1).read()).rejects.toMatchObject(tooLarge)
    expect(plain.requests).toHaveLength(1)
  })
})
