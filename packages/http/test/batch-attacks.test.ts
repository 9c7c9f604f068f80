import { connect } from 'node:net'
import { describe, expect, it } from 'vitest'
import { Bed } from './support/bed.js'
import { type Answer, batchOf, post } from './support/frames.js'
import { ServerProcess, type ServerSpec, type ServerStats } from './support/server-process.js'

const JSON_TYPE = { 'content-type': 'application/json' }
const many = <T>(count: number, one: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => one(index))
const listOf = (count: number) => `[${many(count, (index) => `"g${index}"`).join(',')}]`
const objectOf = (count: number, value: string) => `{${many(count, (index) => `"n${index}":${value}`).join(',')}}`

async function serving(loops: ServerSpec['loops'] = [{ topic: 'orders', group: 'billing' }], options: object = {}) {
  const server = await ServerProcess.start({ loops, options: { ...options } })
  const bed = new Bed()
  const sending = await bed.open({}, server.url)
  await sending.producer('orders').send('warm')
  return {
    server,
    async expectServed(): Promise<void> {
      const { handled } = await server.stats()
      await sending.producer('orders').send('honest')
      expect((await server.stats()).handled).toBe(handled + 1)
    },
    /** Runs an attack while an honest client sends; resolves with the answers and with what it took of the server. */
    async under(attack: () => Promise<readonly Answer[]>) {
      const before = await server.stats()
      let isOver = false
      const attacking = attack().finally(() => {
        isOver = true
      })
      let served = 0
      do {
        await sending.producer('orders').send('meanwhile')
        served += 1
      } while (!isOver)
      const answers = await attacking
      const after: ServerStats = await server.stats()
      return {
        answers,
        handled: after.handled - before.handled - served,
        cpuMs: after.cpuMs - before.cpuMs,
        longestTurnMs: after.longestTurnMs,
        addedMib: after.peakMib - before.peakMib,
      }
    },
    async [Symbol.asyncDispose]() {
      await bed[Symbol.asyncDispose]()
      await server[Symbol.asyncDispose]()
    },
  }
}

// Ten times what each takes on an idle machine, or more.
const LIMITS = { cpuMs: 4_000, longestTurnMs: 500, addedMib: 250 }

describe('batches that hold too much', () => {
  const attacks: readonly (readonly [what: string, body: () => Buffer, limit: string])[] = [
    [
      '200,000 frames without a field',
      () =>
        batchOf(
          many(200_000, () => '{}'),
          '',
        ),
      '10000',
    ],
    ['400,000 frames of no bytes at all', () => Buffer.alloc(400_000 * 8), '10000'],
    ['one frame that names 400,000 groups in except', () => batchOf([`{"except":${listOf(400_000)}}`]), '262144'],
    [
      'one frame that names 5,000 groups in except, in a list of 40 kB',
      () => batchOf([`{"except":${listOf(5_000)}}`]),
      '1532',
    ],
    ['one frame that names 300 groups in except', () => batchOf([`{"except":${listOf(300)}}`]), '256'],
    [
      'one frame that names 400,000 groups in attempt',
      () => batchOf([`{"attempt":${objectOf(400_000, '1')}}`]),
      '262144',
    ],
    ['one frame that names 300 groups in attempt', () => batchOf([`{"attempt":${objectOf(300, '1')}}`]), '256'],
    ['one frame with 300,000 headers', () => batchOf([`{"headers":${objectOf(300_000, '""')}}`]), '262144'],
    ['one frame with 15,000 headers', () => batchOf([`{"headers":${objectOf(15_000, '""')}}`]), '1532'],
    ['one frame with 1,200 headers', () => batchOf([`{"headers":${objectOf(1_200, '""')}}`]), '1000'],
    [
      'frames that stay within the limits of one, and name 600,000 headers together',
      () => batchOf(many(600, () => `{"headers":${objectOf(1_000, '""')}}`)),
      '100000',
    ],
    ['a head of 7 MiB', () => batchOf([`{"key":"${'k'.repeat(7 * 1024 * 1024)}"}`]), '262144'],
  ]
  for (const [what, body, limit] of attacks) {
    it(`are answered 413 with the limit: ${what}`, async () => {
      await using bed = await serving()
      const bytes = body()
      const taken = await bed.under(() => Promise.all(many(5, () => post(bed.server.url, bytes))))
      for (const { status, body: text } of taken.answers) {
        expect(status).toBe(413)
        const problem = JSON.parse(text) as Record<string, unknown>
        expect(problem).toMatchObject({ status: 413, code: 'TOO_LARGE', retryable: false })
        expect(problem.detail).toContain(limit)
      }
      expect(taken.handled).toBe(0)
      expectWithin(taken)
      await bed.expectServed()
    })
  }

  const nested: readonly (readonly [what: string, head: string])[] = [
    ['lists within lists, 100,000 deep', `{"except":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['objects within headers, 30,000 deep', `{"headers":${'{"a":'.repeat(30_000)}1${'}'.repeat(30_000)}}`],
    ['a list of 40,000 empty objects', `{"except":[${many(40_000, () => '{}').join(' ')}]}`],
  ]
  for (const [what, head] of nested) {
    it(`are answered 400: ${what}`, async () => {
      await using bed = await serving()
      const bytes = batchOf([head])
      const taken = await bed.under(() => Promise.all(many(5, () => post(bed.server.url, bytes))))
      expect(taken.answers.map(({ status }) => status)).toEqual([400, 400, 400, 400, 400])
      expect(taken.handled).toBe(0)
      expectWithin(taken)
      await bed.expectServed()
    })
  }
})

describe('batches at the limit', () => {
  it('of 10,000 frames are accepted, and others get their turns meanwhile', async () => {
    await using bed = await serving()
    const bytes = batchOf(many(10_000, (index) => `{"key":"k${index % 100}","headers":{"a":"b"}}`))
    const taken = await bed.under(() => Promise.all(many(3, () => post(bed.server.url, bytes))))
    for (const { status, body } of taken.answers) {
      expect(status).toBe(200)
      expect(acceptedIn(body)).toBe(10_000)
    }
    expect(taken.handled).toBe(30_000)
    expect(taken.longestTurnMs).toBeLessThan(LIMITS.longestTurnMs)
    expect(taken.cpuMs).toBeLessThan(20_000)
    await bed.expectServed()
  })

  it('of 10,000 frames of one key that were all accepted before are answered one by one, without a handler', async () => {
    await using bed = await serving()
    const frames = (resend: number) =>
      batchOf(many(9_999, (index) => `{"id":"i${index}","key":"k","timestamp":1,"resend":${resend}}`))
    const [first] = await Promise.all([post(bed.server.url, frames(0))])
    expect(acceptedIn(first?.body ?? '')).toBe(9_999)
    const taken = await bed.under(() => Promise.all(many(3, () => post(bed.server.url, frames(1)))))
    for (const { body } of taken.answers) expect(acceptedIn(body)).toBe(9_999)
    expect(taken.handled).toBe(0)
    expectWithin(taken)
    await bed.expectServed()
  })

  it('for a topic with 20 groups are handed to each of them, and others get their turns meanwhile', async () => {
    const groups = many(20, (index) => ({ topic: 'events', group: `g${index}`, http: { maxWaitingRecords: 20_000 } }))
    await using bed = await serving([{ topic: 'orders', group: 'billing' }, ...groups], { routingHeaders: 'all' })
    const bytes = batchOf(many(2_000, (index) => `{"id":"i${index}","except":${listOf(19)}}`))
    const taken = await bed.under(async () => [await post(bed.server.url, bytes, undefined, '/events')])
    expect(acceptedIn(taken.answers[0]?.body ?? '')).toBe(2_000)
    expect(taken.handled).toBe(2_000)
    expect(taken.longestTurnMs).toBeLessThan(LIMITS.longestTurnMs)
    await bed.expectServed()
  })

  it('whose client goes away in the middle leave no work behind', async () => {
    await using bed = await serving()
    const bytes = batchOf(many(10_000, (index) => `{"id":"i${index}"}`))
    const head = `POST /orders/billing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/vnd.streamswitch.batch.v1\r\ncontent-length: ${bytes.length}\r\n\r\n`
    for (let count = 0; count < 5; count += 1) {
      const socket = connect(bed.server.port, '127.0.0.1')
      await new Promise<void>((resolve) => socket.write(Buffer.concat([Buffer.from(head), bytes]), () => resolve()))
      socket.destroy()
    }
    await bed.expectServed()
    expect((await bed.server.stats()).longestTurnMs).toBeLessThan(LIMITS.longestTurnMs)
  })
})

describe('single messages that hold too much', () => {
  const attacks: readonly (readonly [what: string, headers: Record<string, string>, limit: string])[] = [
    ['40,000 encoded headers', { 'streamswitch-encoded-headers': 'a=&'.repeat(40_000) }, '1000'],
    ['the names of 40,000 headers', { 'streamswitch-headers': 'a, '.repeat(40_000) }, '1000'],
    ['30,000 groups in except', { 'streamswitch-except': 'ab,'.repeat(30_000) }, '256'],
    ['20,000 groups in attempt', { 'streamswitch-attempt': 'ab=1,'.repeat(20_000) }, '256'],
    ['1,500 headers', Object.fromEntries(many(1_500, (index) => [`x-${index}`, 'v'])), '1100'],
  ]
  for (const [what, headers, limit] of attacks) {
    it(`are answered 413 with the limit: ${what}`, async () => {
      await using bed = await serving()
      const taken = await bed.under(() =>
        Promise.all(many(20, () => post(bed.server.url, '1', { ...JSON_TYPE, ...headers }))),
      )
      for (const { status, body } of taken.answers) {
        expect(status).toBe(413)
        expect(JSON.parse(body)).toMatchObject({ code: 'TOO_LARGE', detail: expect.stringContaining(limit) })
      }
      expect(taken.handled).toBe(0)
      expectWithin(taken)
      await bed.expectServed()
    })
  }

  it('are answered 413 with the limit: 40,000 parameters of a query', async () => {
    const loops = [
      { topic: 'orders', group: 'billing' },
      { topic: 'pings', group: 'web', http: { method: 'GET' } },
    ]
    await using bed = await serving(loops)
    const taken = await bed.under(() =>
      Promise.all(
        many(20, async () => {
          const response = await fetch(`${bed.server.url}/pings/web?${'a=&'.repeat(40_000)}`)
          return { status: response.status, body: await response.text() }
        }),
      ),
    )
    for (const { status, body } of taken.answers) {
      expect(status).toBe(413)
      expect(body).toContain('1000')
    }
    expectWithin(taken)
    await bed.expectServed()
  })
})

describe('what senders of ours may send', () => {
  it('is never refused as a batch: messages with many headers travel in several requests, one with too many is refused here', async () => {
    await using bed = await serving()
    await using own = new Bed()
    const sending = await own.open({ maxRequestRecords: 10_000 }, bed.server.url)
    const headers = Object.fromEntries(many(900, (index) => [`h${index}`, 'v']))
    const producer = sending.producer('orders')
    await producer.init()
    await Promise.all(many(200, (index) => producer.send(index, { headers })))
    expect(own.log).toEqual([])
    const tooMany = Object.fromEntries(many(1_001, (index) => [`h${index}`, 'v']))
    await expect(producer.send(1, { headers: tooMany })).rejects.toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringContaining('1000 headers'),
    })
    await bed.expectServed()
  })
})

function acceptedIn(body: string): number {
  return body
    .split('\n')
    .filter((line) => line !== '')
    .reduce((sum, line) => sum + ((JSON.parse(line) as { accepted?: unknown[] }).accepted?.length ?? 0), 0)
}

function expectWithin(taken: {
  readonly cpuMs: number
  readonly longestTurnMs: number
  readonly addedMib: number
}): void {
  expect(taken.cpuMs).toBeLessThan(LIMITS.cpuMs)
  expect(taken.longestTurnMs).toBeLessThan(LIMITS.longestTurnMs)
  expect(taken.addedMib).toBeLessThan(LIMITS.addedMib)
}
