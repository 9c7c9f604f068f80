import { createHash } from 'node:crypto'
import type { Message } from '@streamswitch/core'
import { describe, expect, it } from 'vitest'
import { Bed, consume } from './support/bed.js'
import { batchOf, post } from './support/frames.js'
import { ServerProcess } from './support/server-process.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const digest = (text: string): string => `sha256-${createHash('sha256').update(text).digest('hex')}`
const many = <T>(count: number, one: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => one(index))

async function serving() {
  const server = await ServerProcess.start({ loops: [{ topic: 'orders', group: 'billing' }] })
  const bed = new Bed()
  const sending = await bed.open({}, server.url)
  await sending.producer('orders').send('warm')
  return {
    server,
    async expectServed(): Promise<void> {
      const { handled } = await server.stats()
      await sending.producer('orders').send('honest')
      expect((await server.stats()).handled).toBe(handled + 1)
      expect(server.alive).toBe(true)
    },
    /** What `work` adds to the server's processor time and to what its heap holds. */
    async cost(work: () => Promise<unknown>) {
      const before = await server.stats()
      await work()
      const after = await server.stats()
      return {
        cpuMs: after.cpuMs - before.cpuMs,
        addedMib: after.heapMib - before.heapMib,
        handled: after.handled - before.handled,
      }
    },
    async [Symbol.asyncDispose]() {
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

async function inTurns(count: number, width: number, one: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1
      await one(next)
    }
  }
  await Promise.all(many(width, worker))
}

describe("what Streamswitch's own headers and frames say beyond the rules of sending", () => {
  const heads: readonly (readonly [what: string, head: string, status: number])[] = [
    ['an id of 4 MB', `{"id":"${'i'.repeat(4_000_000)}"}`, 413],
    ['an id of 257 bytes', `{"id":"${'i'.repeat(257)}"}`, 400],
    ['an id of 100 characters that are 300 bytes', `{"id":"${'€'.repeat(100)}"}`, 400],
    ['an id with line breaks', '{"id":"a\\r\\nERROR forged"}', 400],
    ['an id with escapes', '{"id":"\\u001b[2J"}', 400],
    ['an empty id', '{"id":""}', 400],
    ['an id that is not well-formed', '{"id":"\\ud800"}', 400],
    ['a key of 1,025 bytes', `{"key":"${'k'.repeat(1_025)}"}`, 400],
    ['a timestamp of 400 digits', `{"timestamp":${'9'.repeat(400)}}`, 400],
    ['a timestamp beyond a Date', '{"timestamp":8640000000000001}', 400],
    ['a timestamp before 1970', '{"timestamp":-1}', 400],
    ['a header name with a line break', '{"headers":{"a\\nb":"v"}}', 400],
    ['headers of 40 kB', `{"headers":{"a":"${'v'.repeat(40_000)}"}}`, 413],
  ]
  const plain: readonly (readonly [what: string, headers: Record<string, string>, status: number])[] = [
    ['an id of 90 kB', { 'streamswitch-id': 'i'.repeat(90_000) }, 400],
    ['an id with line breaks', { 'streamswitch-id': 'a%0D%0Ab' }, 400],
    ['an empty id', { 'streamswitch-id': '' }, 400],
    ['a key of 1,025 bytes', { 'streamswitch-key': 'k'.repeat(1_025) }, 400],
    ['a timestamp of 400 digits', { 'streamswitch-timestamp': '9'.repeat(400) }, 400],
    ['a timestamp beyond a Date', { 'streamswitch-timestamp': '8640000000000001' }, 400],
    ['headers of 40 kB', { 'streamswitch-headers': 'a', a: 'v'.repeat(40_000) }, 413],
  ]

  it('is refused, in frames and in single messages, and reaches no handler', async () => {
    await using bed = await serving()
    const { url } = bed.server
    const { handled, cpuMs } = await bed.cost(async () => {
      for (const [what, head, status] of heads) expect((await post(url, batchOf([head]))).status, what).toBe(status)
      for (const [what, headers, status] of plain)
        expect((await post(url, '1', { ...JSON_TYPE, ...headers })).status, what).toBe(status)
    })
    expect(handled).toBe(0)
    expect(cpuMs).toBeLessThan(5_000)
    const latest = batchOf(['{"id":"i","key":"","timestamp":8640000000000000}'])
    expect((await post(url, latest)).body).toContain('"accepted":[0]')
    expect(bed.server.log).toEqual([])
    await bed.expectServed()
  })
})

describe("what a foreign sender's idempotency-key says", () => {
  it('is the id where it fits, else its digest, by which a repetition is recognised; time of arrival is the timestamp', async () => {
    await using bed = new Bed()
    const transport = await bed.open()
    const messages: Message[] = []
    await consume(transport, 'orders', 'billing', (message) => void messages.push(message))
    const started = Date.now()
    for (const key of ['short', 'l'.repeat(257), 'x'.repeat(90_000), 'tab\there']) {
      const send = () => post(transport.base, '1', { ...JSON_TYPE, 'idempotency-key': key })
      expect([(await send()).status, (await send()).status]).toEqual([204, 204])
    }
    expect((await post(transport.base, '1', { ...JSON_TYPE, 'idempotency-key': '' })).status).toBe(204)
    expect(messages.map(({ id }) => id).slice(0, 4)).toEqual([
      'short',
      digest('l'.repeat(257)),
      digest('x'.repeat(90_000)),
      digest('tab\there'),
    ])
    expect(messages).toHaveLength(5)
    for (const { timestamp } of messages) {
      expect(timestamp).toBeGreaterThanOrEqual(started)
      expect(timestamp).toBeLessThanOrEqual(Date.now())
    }
  })

  it('is not remembered in its length: 300 of 100 kB', async () => {
    await using bed = await serving()
    const { handled, addedMib, cpuMs } = await bed.cost(() =>
      inTurns(300, 10, (index) =>
        post(bed.server.url, '1', { ...JSON_TYPE, 'idempotency-key': `${index}-${'i'.repeat(100_000)}` }),
      ),
    )
    expect(handled).toBe(300)
    // 30 MB of ids would be remembered.
    expect(addedMib).toBeLessThan(15)
    expect(cpuMs).toBeLessThan(15_000)
    await bed.expectServed()
  })
})

describe('ids that are chosen to cost more', () => {
  it('do not: whole numbers, and texts of the same hash in V8', async () => {
    await using bed = await serving()
    const { url } = bed.server
    const rounds = async (id: (index: number) => string, headers = '') => {
      const bytes = batchOf(many(5_000, (index) => `{"id":"${id(index)}","resend":1,"timestamp":1${headers}}`))
      return bed.cost(async () => {
        for (let round = 0; round < 3; round += 1) expect((await post(url, bytes)).status).toBe(200)
      })
    }
    const usual = await rounds((index) => `usual-${index * 7_919}`)
    // Numbers of up to seven digits are hashed to their value, without the process's random seed.
    const numbers = await rounds((index) => String((index * 16_384) % 9_999_999))
    expect(numbers.cpuMs).toBeLessThan(10 * usual.cpuMs + 500)
    // V8 hashes texts of more than 16 Ki characters by their length alone.
    const { cpuMs, handled } = await bed.cost(() =>
      inTurns(200, 10, (index) => {
        const key = `${'c'.repeat(20_000)}${String(index).padStart(6, '0')}`
        return post(url, '1', { ...JSON_TYPE, 'idempotency-key': key })
      }),
    )
    expect(handled).toBe(200)
    expect(cpuMs).toBeLessThan(10_000)
    await bed.expectServed()
  })

  it('are remembered with a bounded part of the header that tells replays apart', async () => {
    await using bed = await serving()
    const replayed = `,"headers":{"streamswitch-replayed":"${'r'.repeat(15_000)}"}`
    const long = await bed.cost(() =>
      inTurns(20, 4, (round) =>
        post(bed.server.url, batchOf(many(100, (index) => `{"id":"r${round}-${index}"${replayed}}`))),
      ),
    )
    expect(long.handled).toBe(2_000)
    // 30 MB would be remembered.
    expect(long.addedMib).toBeLessThan(15)
    await bed.expectServed()
  })
})
