import type { ServerResponse } from 'node:http'
import type { Reply } from '@streamswitch/core'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { PartReader, PartWriter } from '../src/wire/reply-parts.js'
import { Bed, until } from './support/bed.js'
import { PlainReceiver } from './support/plain-receiver.js'

const MIB = 1024 * 1024
const TYPE = 'multipart/mixed; boundary=b'

afterEach(() => vi.restoreAllMocks())

/** A part as a hostile responder writes it. */
function part(number: number, payload: string | Buffer, more = ''): Buffer {
  const body = Buffer.from(payload)
  const head = `--b\r\nstreamswitch-reply: 1\r\nstreamswitch-reply-run: 1-a\r\nstreamswitch-reply-part: ${number}\r\n${more}`
  return Buffer.concat([Buffer.from(`${head}content-length: ${body.length}\r\n\r\n`), body, Buffer.from('\r\n')])
}

const END = Buffer.concat([
  part(2, '', 'streamswitch-reply-end: 1\r\nstreamswitch-tombstone: 1\r\n'),
  Buffer.from('--b--\r\n'),
])

/** Writes one piece after the other for as long as the client takes them. Resolves with how many bytes that were. */
async function pour(response: ServerResponse, pieces: Iterable<Buffer>): Promise<number> {
  let bytes = 0
  for (const piece of pieces) {
    if (response.destroyed) return bytes
    bytes += piece.length
    if (response.write(piece)) continue
    await new Promise<void>((resolve) => {
      response.once('drain', resolve)
      response.once('close', resolve)
    })
  }
  response.end()
  return bytes
}

function* forever(piece: (index: number) => Buffer): Generator<Buffer> {
  for (let index = 1; ; index += 1) yield piece(index)
}

/** A caller whose requests are answered with what an attack pours out, and with an honest answer once it is over. */
async function hostile(pieces: () => Iterable<Buffer>) {
  const bed = new Bed()
  const receiver = await PlainReceiver.listen()
  let poured: Promise<number> | undefined
  receiver.answer = (_request, response) => {
    response.writeHead(200, { 'content-type': TYPE })
    poured = pour(response, pieces())
  }
  const transport = await bed.open({ endpoints: { orders: receiver.url }, connections: 1 })
  const producer = transport.producer('orders')
  return {
    ask: (): Reply<unknown> => producer.request('x', { replyCodec: 'text', timeoutMs: 60_000 }),
    /** How much the responder got rid of until it was cut off. */
    cutOffAfter: async (): Promise<number> => {
      await until(() => poured !== undefined, 'the request')
      return (await poured) as number
    },
    /** The same caller, by its only connection, gets its next answer. */
    async expectServed(): Promise<void> {
      receiver.answer = undefined
      receiver.answers.push({
        status: 200,
        headers: { 'content-type': TYPE },
        body: Buffer.concat([part(1, 'honest'), END]),
      })
      const reply = this.ask()
      expect(await reply.read()).toBe('honest')
      expect(await reply.read()).toBeUndefined()
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await bed[Symbol.asyncDispose]()
      await receiver[Symbol.asyncDispose]()
    },
  }
}

describe('a hostile responder', () => {
  const LONG = Buffer.alloc(16 * 1024, 'x')

  it.each<[string, () => Iterable<Buffer>, string, number]>([
    ['a part that is larger than maxPayloadBytes', () => [part(1, Buffer.alloc(2 * MIB)), END], 'TOO_LARGE', 3 * MIB],
    [
      'a part that says so, and never comes',
      () => [Buffer.from('--b\r\nstreamswitch-reply: 1\r\ncontent-length: 999999999999\r\n\r\n'), LONG],
      'TOO_LARGE',
      MIB,
    ],
    ['no beginning of a part', () => forever(() => LONG), 'INVALID_ARGUMENT', 8 * MIB],
    ['a head without an end', () => headWithoutEnd(LONG), 'INVALID_ARGUMENT', 8 * MIB],
    ['a length that is none', () => [Buffer.from('--b\r\ncontent-length: -1\r\n\r\n'), END], 'INVALID_ARGUMENT', MIB],
    [
      'parts of which the first is missing',
      () => forever((index) => part(index + 1, 'x')),
      'RESOURCE_EXHAUSTED',
      64 * MIB,
    ],
    [
      'large parts ahead of a missing one',
      () => forever((index) => part(index + 1, Buffer.alloc(512 * 1024))),
      'RESOURCE_EXHAUSTED',
      128 * MIB,
    ],
    [
      'a handler start with a name of any length',
      () => [part(1, 'x', `streamswitch-reply-run: ${'r'.repeat(5_000)}\r\n`), END],
      'SERIALIZATION',
      MIB,
    ],
  ])(
    'sends %s: the reply ends with an error, and the next one is read',
    { timeout: 60_000 },
    async (_title, pieces, code, most) => {
      await using bed = await hostile(pieces)
      const reply = bed.ask()
      const read = async (): Promise<void> => {
        while ((await reply.read()) !== undefined);
      }
      await expect(read()).rejects.toMatchObject({ code })
      expect(await bed.cutOffAfter(), 'bytes until it was cut off').toBeLessThan(most)
      await bed.expectServed()
    },
  )

  it('sends empty parts that nobody reads: they count, and the reply ends', { timeout: 60_000 }, async () => {
    await using bed = await hostile(() => forever((round) => many(round)))
    const reply = bed.ask()
    expect(await bed.cutOffAfter()).toBeLessThan(128 * MIB)
    const read = async (): Promise<number> => {
      for (let parts = 0; ; parts += 1)
        if ((await reply.read().catch((error: unknown) => error)) instanceof Error) return parts
    }
    // The part that was one too many is read as well.
    expect(await read()).toBeLessThanOrEqual((64 * MIB) / 256 + 1)
    await bed.expectServed()
  })

  it('goes on after its caller has let go: it is cut off', { timeout: 60_000 }, async () => {
    await using bed = await hostile(() => forever((index) => part(index, 'x'.repeat(1_000))))
    const reply = bed.ask()
    expect(await reply.read()).toBe('x'.repeat(1_000))
    reply.close()
    expect(await bed.cutOffAfter()).toBeLessThan(64 * MIB)
    await bed.expectServed()
  })

  it('goes on behind the end of its reply: it is cut off', { timeout: 60_000 }, async () => {
    await using bed = await hostile(() => behindEnd(LONG))
    const reply = bed.ask()
    expect(await reply.read()).toBe('x')
    expect(await reply.read()).toBeUndefined()
    expect(await bed.cutOffAfter()).toBeLessThan(8 * MIB)
    await bed.expectServed()
  })
})

/** Many empty parts at a time. */
function many(round: number): Buffer {
  return Buffer.concat(Array.from({ length: 500 }, (_, index) => part((round - 1) * 500 + index + 1, '')))
}

function* headWithoutEnd(piece: Buffer): Generator<Buffer> {
  yield Buffer.from('--b\r\nstreamswitch-reply: ')
  yield* forever(() => piece)
}

function* behindEnd(piece: Buffer): Generator<Buffer> {
  yield part(1, 'x')
  yield END
  yield* forever(() => piece)
}

describe('reading the parts of a reply', () => {
  /** Bytes that are copied from here on. */
  function copies(): { bytes: number } {
    const counted = { bytes: 0 }
    const { copy } = Buffer.prototype
    vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function (this: Buffer, target, ...range) {
      const copied = copy.call(this, target, ...range)
      counted.bytes += copied
      return copied
    })
    const { concat } = Buffer
    vi.spyOn(Buffer, 'concat').mockImplementation((list, length) => {
      counted.bytes += list.reduce((sum, one) => sum + one.length, 0)
      return concat(list, length)
    })
    return counted
  }

  function readIn(body: Buffer, pieceBytes: number, contentType = TYPE) {
    const taken: (Buffer | undefined)[] = []
    const reader = new PartReader(contentType, { maxPartBytes: 64 * MIB, take: ({ payload }) => taken.push(payload) })
    for (let at = 0; at < body.length; at += pieceBytes) reader.push(body.subarray(at, at + pieceBytes))
    return { taken, complete: reader.complete }
  }

  it.each([1_000, 16_384, 65_536])('copies each byte a few times, in pieces of %i bytes', (pieceBytes) => {
    const payload = Buffer.alloc(40 * MIB, 'payload')
    const body = Buffer.concat([part(1, payload), END])
    const counted = copies()
    const { taken, complete } = readIn(body, pieceBytes)
    expect(counted.bytes).toBeLessThan(4 * body.length)
    vi.restoreAllMocks()
    expect(complete).toBe(true)
    expect(taken).toHaveLength(2)
    expect(taken[0]?.equals(payload)).toBe(true)
  })

  it('copies each byte a few times where there are many parts in a piece', () => {
    const body = Buffer.concat([...Array.from({ length: 20_000 }, (_, index) => part(index + 1, 'x')), END])
    const counted = copies()
    expect(readIn(body, 65_536).taken).toHaveLength(20_001)
    // Of each step, what is behind a head is looked at again.
    expect(counted.bytes).toBeLessThan(16 * body.length)
  })

  it('finds the same parts however they are cut', () => {
    const writer = new PartWriter()
    const payloads = ['', 'x', '--', `\r\n--b`, 'y'.repeat(5_000), undefined].map((one) =>
      one === undefined ? undefined : Buffer.from(one),
    )
    const frames = payloads.map((payload, index) =>
      writer.part({ 'streamswitch-reply-part': String(index + 1) }, payload),
    )
    const body = Buffer.concat([Buffer.from('a preamble\r\n'), ...frames, writer.end(), Buffer.from('behind')])
    for (const pieceBytes of [1, 2, 3, 5, 7, 64, 1_023, 1_024, 1_025, body.length]) {
      const { taken, complete } = readIn(body, pieceBytes, writer.contentType)
      expect(taken, `in pieces of ${pieceBytes}`).toEqual(payloads)
      expect(complete).toBe(true)
    }
  })

  it('keeps no more memory for a small part than it has bytes', () => {
    const { taken } = readIn(Buffer.concat([part(1, Buffer.alloc(200_000)), part(2, 'small'), END]), 65_536)
    expect(taken[1]?.toString()).toBe('small')
    expect(taken[1]?.buffer.byteLength).toBeLessThanOrEqual(Buffer.poolSize)
  })
})
