import { connect, createServer, type Server, type Socket } from 'node:net'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { PlainReceiver } from './support/plain-receiver.js'
import { ServerProcess } from './support/server-process.js'

describe('the wait before a message is sent again', () => {
  const past = 'Thu, 01 Jan 1970 00:00:00 GMT'
  const problem = (retryAfterMs: number) => ({
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify({ title: 'busy', retryable: true, retryAfterMs }),
  })
  for (const [what, answer] of [
    ['Retry-After: 0', { headers: { 'retry-after': '0' } }],
    ['a date that is past', { headers: { 'retry-after': past } }],
    ['a negative number', { headers: { 'retry-after': '-5' } }],
    ['a problem with retryAfterMs 0', problem(0)],
    [
      'a problem with retryAfterMs 0 and Retry-After: 0',
      { ...problem(0), headers: { ...problem(0).headers, 'retry-after': '0' } },
    ],
    ['nothing', {}],
  ] as const) {
    it(`is never below the sender's own backoff: ${what}`, async () => {
      await using bed = new Bed()
      await using receiver = await PlainReceiver.listen()
      const transport = await bed.open({ endpoints: { orders: receiver.url } })
      for (let count = 0; count < 6; count += 1) receiver.answers.push({ status: 503, ...answer })
      const started = performance.now()
      await transport.producer('orders').send(1)
      // At least half of 50, 100, 200, … ms.
      expect(performance.now() - started).toBeGreaterThanOrEqual(1_570)
      expect(receiver.requests).toHaveLength(7)
    })
  }

  it("is the loop's own backoff where a handler has failed", async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const starts: number[] = []
    const fail = ({ attempt }: { readonly attempt: number }): void => {
      starts.push(performance.now())
      if (attempt < 5) throw new Error('again')
    }
    await consume(transport, 'jobs', 'g', fail, { retry: { attempts: 5, minDelayMs: 1_000, maxDelayMs: 1_000 } })
    await transport.producer('jobs').send(1)
    // Four waits of at least half of it.
    expect((starts[4] as number) - (starts[0] as number)).toBeGreaterThanOrEqual(1_990)
  })

  it('does not overflow: one that is longer than any timer is one until the send times out', async () => {
    await using bed = new Bed()
    await using receiver = await PlainReceiver.listen()
    const transport = await bed.open({ endpoints: { orders: receiver.url } })
    for (const answer of [
      problem(2 ** 52),
      { headers: { 'retry-after': '9'.repeat(60) } },
      { headers: { 'retry-after': 'Fri, 31 Dec 9999 23:59:59 GMT' } },
    ]) {
      const before = receiver.requests.length
      receiver.answers.push({ status: 503, ...answer })
      await expect(transport.producer('orders', { sendTimeoutMs: 400 }).send(1)).rejects.toMatchObject({
        code: 'TIMEOUT',
      })
      expect(receiver.requests.length - before).toBe(1)
    }
  })
})

describe('connections that break without an answer', () => {
  /** A balancer that accepts so many connections and drops each with its first request, then lets them through. */
  async function balancer(
    target: number,
    drops: number,
  ): Promise<AsyncDisposable & { readonly url: string; dropped(): number }> {
    let dropped = 0
    const sockets = new Set<Socket>()
    const server: Server = createServer((client) => {
      sockets.add(client.on('error', () => {}))
      if (dropped < drops) {
        client.once('data', () => {
          dropped += 1
          client.destroy()
        })
        return
      }
      const upstream = connect(target, '127.0.0.1')
      sockets.add(upstream.on('error', () => client.destroy()))
      client.pipe(upstream).pipe(client)
    })
    const port = await findFreePort()
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return {
      url: `http://127.0.0.1:${port}`,
      dropped: () => dropped,
      async [Symbol.asyncDispose]() {
        for (const socket of sockets) socket.destroy()
        await new Promise((resolve) => server.close(resolve))
      },
    }
  }

  it('are no handler starts: the first start is attempt 1, and a failure after them is not final', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const attempts: number[] = []
    await consume(receiving, 'jobs', 'g', (message) => {
      attempts.push(message.attempt)
      if (attempts.length === 1) throw new Error('once')
    })
    await using between = await balancer(Number(new URL(receiving.base).port), 7)
    const sending = await bed.open({ routes: { jobs: { g: [between.url] } } })
    await sending.producer('jobs').send({ n: 1 }, { key: 'k' })
    expect(between.dropped()).toBe(7)
    expect(attempts).toEqual([1, 2])
  })

  it('are bounded by 3 for each attempt, over all sendings: the message is refused before it is started', async () => {
    await using bed = new Bed()
    const receiving = await bed.open()
    const handled: unknown[] = []
    await consume(receiving, 'jobs', 'g', ({ value }) => void handled.push(value), { retry: { attempts: 2 } })
    await using between = await balancer(Number(new URL(receiving.base).port), 6)
    const sending = await bed.open({ routes: { jobs: { g: [between.url] } } })
    await expect(sending.producer('jobs').send('dropped', { key: 'k' })).rejects.toMatchObject({
      code: 'ABORTED',
      retryable: false,
      message: expect.stringContaining('6 times without an answer'),
    })
    await sending.producer('jobs').send('next', { key: 'k' })
    expect(handled).toEqual(['next'])
  })

  it('by a message that ends its receiver each time are bounded as well, and others are handled', async () => {
    const url = `http://127.0.0.1:${await findFreePort()}`
    const spec = { url, loops: [{ topic: 'jobs', group: 'g', handler: 'exit', retry: { attempts: 1 } }] }
    await using bed = new Bed()
    const sending = await bed.open({}, url)
    let isOver = false
    let deaths = 0
    const supervising = (async () => {
      while (!isOver) {
        await using server = await ServerProcess.start(spec)
        while (!isOver && server.alive) await new Promise((resolve) => setTimeout(resolve, 10))
        if (!server.alive) deaths += 1
      }
    })()
    const producer = sending.producer('jobs', { sendTimeoutMs: 60_000 })
    await producer.send('before')
    await expect(producer.send('exit')).rejects.toMatchObject({ code: 'ABORTED', retryable: false })
    await producer.send('after')
    isOver = true
    await supervising
    expect(deaths).toBe(3)
  })
})
