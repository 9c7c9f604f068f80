import { randomBytes } from 'node:crypto'
import type { Handler, Message, Reply } from '@streamswitch/core'
import { expect } from 'vitest'
import type { Bench } from './bench.js'
import { quickRetry } from './bench.js'
import { Gate, within } from './collect.js'
import { rejection } from './expect-error.js'
import { load } from './load.js'
import type { Suite } from './suite.js'

const PARTS = 25
const CALLERS = 4
const REQUESTS = 60
const AT_ONCE = 300

/** All parts of a reply. */
function partsOf<Part>(reply: Reply<Part>): Promise<Part[]> {
  const read = async (): Promise<Part[]> => {
    const parts: Part[] = []
    for await (const part of reply) parts.push(part)
    return parts
  }
  return within(read(), 'the end of a reply', 25_000)
}

function read<Part>(reply: Reply<Part>): Promise<Part | undefined> {
  return within(reply.read(), 'a part of a reply', 25_000)
}

/** Item 15: requests with one reply, many, none; errors; time; isolation. */
export function requests(suite: Suite): void {
  if (!suite.has('requestReply')) return
  suite.describe('requests and replies', () => {
    answers(suite)
    failures(suite)
    endings(suite)
    isolation(suite)
    elsewhere(suite)
  })
}

function answers(suite: Suite): void {
  suite.test('a handler that returns a value answers with it', {}, async (bench) => {
    const member = await bench.member({ handler: async (message) => ({ doubled: (message.value as number) * 2 }) })
    const reply = bench.producer().request<{ doubled: number }>(21, { key: 'k', headers: { tenant: 'acme' } })
    expect(await read(reply)).toEqual({ doubled: 42 })
    expect(await read(reply), 'then the end').toBeUndefined()
    const [handling] = member.handlings
    expect(handling).toMatchObject({ key: 'k', value: 21, headers: { tenant: 'acme' } })
    expect(handling?.message.replyTo).toEqual(expect.any(String))
    await bench.until(() => member.loop.stats().acked === 1, 'the ack of the request')
  })

  suite.test('a handler that returns nothing gives an empty reply, at once', {}, async (bench) => {
    await bench.member({ handler: async () => undefined })
    expect(await partsOf(bench.producer().request('x', { timeoutMs: 20_000 }))).toEqual([])
  })

  suite.test('respond sends parts while the handler runs, in order, then the end', {}, async (bench) => {
    const gate = new Gate()
    await bench.member({
      handler: async (message) => {
        for (let part = 1; part <= PARTS; part += 1) await message.respond({ part })
        await gate.opened
        return { part: PARTS + 1 }
      },
    })
    const reply = bench.producer().request<{ part: number }>('many')
    for (let part = 1; part <= PARTS; part += 1) expect(await read(reply), 'while the handler runs').toEqual({ part })
    gate.open()
    expect(await read(reply), 'what it returns is the last part').toEqual({ part: PARTS + 1 })
    expect(await read(reply)).toBeUndefined()
  })

  suite.test('the values of a generator are parts', {}, async (bench) => {
    const handler: Handler = async function* (message: Message) {
      for (let part = 1; part <= Number(message.value); part += 1) yield part
    }
    await bench.member({ handler })
    expect(await partsOf(bench.producer().request<number>(7))).toEqual([1, 2, 3, 4, 5, 6, 7])
  })

  suite.test('parts of any size and codec, byte for byte', {}, async (bench) => {
    const parts = [randomBytes(1), randomBytes(1_000), randomBytes(60_000), Buffer.from([0, 13, 10, 45, 45, 13, 10])]
    await bench.member({
      handler: async (message) => {
        for (const part of parts) await message.respond(part)
      },
      settings: { replyCodec: 'bytes' },
    })
    const received = await partsOf(bench.producer().request<Uint8Array>('x', { replyCodec: 'bytes' }))
    expect(received.map((part) => Buffer.from(part).toString('hex'))).toEqual(parts.map((part) => part.toString('hex')))
  })
}

function failures(suite: Suite): void {
  suite.test('a handler that fails is tried again before its first part, and its answer counts', {}, async (bench) => {
    const member = await bench.member({
      handler: async (message) => {
        if (message.attempt < 3) throw new Error('not yet')
        return message.attempt
      },
    })
    expect(await partsOf(bench.producer().request<number>('x', { key: 'k' }))).toEqual([3])
    expect(member.handlings.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
  })

  suite.test('when its attempts are used up, the caller gets its error', {}, async (bench) => {
    const member = await bench.member({
      handler: async () => {
        throw new Error('card declined')
      },
      settings: { retry: quickRetry(2), errorPolicy: 'restart' },
    })
    const error = await rejection(bench.producer().request('x').read(), 'UNKNOWN')
    expect(error.message).toContain('card declined')
    expect(member.handlings).toHaveLength(2)
  })

  suite.test('once a part was sent, a handler that fails is not tried again', {}, async (bench) => {
    const member = await bench.member({
      handler: async (message) => {
        await message.respond('half')
        throw new Error('broke off')
      },
      settings: { errorPolicy: 'restart' },
    })
    const reply = bench.producer().request('x', { key: 'k' })
    expect(await read(reply)).toBe('half')
    const error = await rejection(reply.read(), 'UNKNOWN')
    expect(error.message).toContain('broke off')
    await rejection(reply.read(), 'UNKNOWN')
    await bench.producer().request('y', { key: 'k' }).read()
    expect(member.handlings.map(({ value }) => value)).toEqual(['x', 'y'])
  })

  suite.test(
    'answers to a message that asks for none are dropped, whether responded, yielded or returned',
    {},
    async (bench) => {
      const member = await bench.member({
        handler: async (message) => {
          await message.respond('unwanted')
          return message.value === 'yields'
            ? (async function* () {
                yield 'unwanted'
              })()
            : { nobody: 'wants this' }
        },
      })
      await bench.producer().send('returns')
      await bench.producer().send('yields')
      await bench.until(() => member.loop.stats().acked === 2, 'both acks')
      expect(member.handlings.map(({ attempt, outcome }) => [attempt, outcome])).toEqual([
        [1, 'succeeded'],
        [1, 'succeeded'],
      ])
    },
  )
}

function endings(suite: Suite): void {
  suite.test('one deadline for the whole reply', {}, async (bench) => {
    const gate = new Gate()
    await bench.member({
      handler: async (message) => {
        await message.respond('first')
        await gate.opened
      },
    })
    const reply = bench.producer().request('x', { timeoutMs: 2_000 })
    expect(await read(reply)).toBe('first')
    const error = await rejection(reply.read(), 'TIMEOUT')
    expect(error.message).toContain('2000')
    gate.open()
  })

  suite.test('a signal, close and leaving the iteration let go of the reply', {}, async (bench) => {
    await bench.member({
      handler: async (message) => {
        await message.respond(1)
        await message.respond(2)
      },
    })
    const producer = bench.producer()
    const controller = new AbortController()
    const aborted = producer.request('x', { signal: controller.signal })
    controller.abort()
    await rejection(aborted.read(), 'ABORTED')
    const closed = producer.request('x')
    closed.close()
    await rejection(closed.read(), 'ABORTED')
    const left = producer.request('x')
    for await (const part of left) {
      expect(part).toBe(1)
      break
    }
    await rejection(left.read(), 'ABORTED')
    expect(await partsOf(producer.request('x')), 'others go on').toEqual([1, 2])
  })

  suite.test('closing the producer or the transport settles what is pending with CLOSED', {}, async (bench) => {
    const gate = new Gate()
    const member = await bench.member({ handler: () => gate.opened })
    const transport = bench.transport()
    const first = bench.producer({ transport })
    const second = bench.producer({ transport })
    const replies = [first.request('a'), second.request('b')]
    await bench.until(() => member.handlings.length === 2, 'both requests at work')
    const rejections = replies.map((reply) => rejection(reply.read(), 'CLOSED'))
    await first.close({ timeoutMs: 0 })
    await within(rejections[0] as Promise<unknown>, 'the end of the first')
    await transport.close({ timeoutMs: 0 })
    await within(rejections[1] as Promise<unknown>, 'the end of the second')
    gate.open()
    expect(() => first.request('c')).toThrow(expect.objectContaining({ code: 'CLOSED' }))
  })
}

/** What every caller's reply must be made of, and of nothing else. */
function echo(): Handler {
  return async (message) => {
    await message.respond({ of: message.value, part: 1 })
    return { of: message.value, part: 2 }
  }
}

async function expectOwnReply(bench: Bench, producer: ReturnType<Bench['producer']>, value: string): Promise<void> {
  const parts = await partsOf(producer.request(value, { key: value, timeoutMs: 25_000 }))
  expect(parts, `the reply to ${value} on ${bench.url}`).toEqual([
    { of: value, part: 1 },
    { of: value, part: 2 },
  ])
}

function isolation(suite: Suite): void {
  suite.test(
    `${CALLERS} callers and two members: every caller gets its own replies and no others`,
    { partitions: suite.partitions },
    async (bench) => {
      await bench.members(2, { handler: echo() })
      const callers = Array.from({ length: CALLERS }, () => bench.producer({ transport: bench.transport() }))
      await Promise.all(
        callers.flatMap((producer, caller) =>
          Array.from({ length: load(REQUESTS) }, (_, number) => expectOwnReply(bench, producer, `${caller}-${number}`)),
        ),
      )
    },
  )

  suite.test(`${AT_ONCE} requests at once`, { partitions: suite.partitions }, async (bench) => {
    await bench.member({ handler: async (message) => message.value, settings: { concurrency: AT_ONCE } })
    const producer = bench.producer()
    const values = Array.from({ length: load(AT_ONCE) }, (_, number) => number)
    const replies = await Promise.all(values.map((value) => partsOf(producer.request(value))))
    expect(replies).toEqual(values.map((value) => [value]))
  })
}

function elsewhere(suite: Suite): void {
  suite.test('replies travel on another transport where one is declared', {}, async (bench) => {
    const prefix = `${bench.prefix}feedback-${randomBytes(4).toString('hex')}.`
    const open = () => bench.transport({ options: { prefix } })
    const [asking, answering] = [open(), open()]
    await bench.member({ handler: echo(), transport: bench.transport({ feedback: answering }) })
    const producer = bench.producer({ transport: bench.transport({ feedback: asking }) })
    await expectOwnReply(bench, producer, 'by another way')
    const harness = bench.administration({ options: { prefix } })
    await harness.admin.deleteTopic(harness.topicSpec('streamswitch-replies'))
  })

  suite.test('a group that only listens answers nothing', { groups: 2 }, async (bench) => {
    const [first = '', second = ''] = bench.groups
    const listener = await bench.member({ group: first, handler: async () => 'unasked', settings: { replies: false } })
    await bench.member({ group: second, handler: echo() })
    await expectOwnReply(bench, bench.producer(), 'to one group')
    await bench.until(() => listener.succeeded.length === 1, 'the listener to handle it too')
  })
}
