import { createServer, type Server, type Socket } from 'node:net'
import type { Message } from '@streamswitch/core'
import { TcpProxy } from '@streamswitch/testkit/faults'
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { FrameReader } from '../src/client-patches/frame-reader.js'
import { Heartbeat } from '../src/client-patches/heartbeat.js'
import { encodeRequest, PlainAuthenticateRequest } from '../src/client-patches/request-encoder.js'
import { ResponseCode, ServerError } from '../src/client-patches/server-error.js'
import { readPublishErrors } from '../src/client-patches/server-frames.js'
import { Offset } from '../src/client-patches/stream-client.js'
import { openClient } from '../src/connection.js'
import { numbers, openStream, type Seen, seenOf, sourceOf, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'
import { publishByLibrary, publishForeign } from './support/foreign.js'

const servers: { server: Server; sockets: Socket[] }[] = []

afterEach(() => {
  for (const { server, sockets } of servers.splice(0)) {
    server.close()
    for (const socket of sockets) socket.destroy()
  }
})

/** A port that does with its connections what it is told. */
async function port(connected: (socket: Socket) => void): Promise<number> {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    connected(socket)
  })
  servers.push({ server, sockets })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

/** A Publish frame with one message. */
function publishFrame(publisherId: number, id: number, body: Buffer): Buffer {
  const frame = Buffer.alloc(25)
  frame.writeUInt32BE(21 + body.length, 0)
  frame.writeUInt16BE(2, 4)
  frame.writeUInt16BE(1, 6)
  frame.writeUInt8(publisherId, 8)
  frame.writeUInt32BE(1, 9)
  frame.writeBigUInt64BE(BigInt(id), 13)
  frame.writeUInt32BE(body.length, 21)
  return Buffer.concat([frame, body])
}

/** Reads a topic from its beginning until `count` messages were handled. */
async function readAll(
  topic: string,
  count: number,
  settings: Record<string, unknown> = {},
): Promise<Message<unknown>[]> {
  const messages: Message<unknown>[] = []
  const loop = openStream().consumer<unknown>(topic, { group: unique('group'), concurrency: 1, ...settings })
  loop.handle((message) => void messages.push(message))
  const run = loop.run()
  await until(() => messages.length >= count)
  await loop.close()
  await run
  return messages
}

describe('frames are cut by bytes, not by the number of messages', () => {
  test.each([
    [100, 12 * 1024],
    [90, 20_000],
    [3, 900_000],
    [1, 1_048_000],
  ])('%i messages of %i bytes at once arrive whole', async (count, bytes) => {
    const topic = unique('topic')
    const producer = openStream().producer<Uint8Array>(topic, { codec: 'bytes' })
    await Promise.all(numbers(count).map((number) => producer.send(Buffer.alloc(bytes, number))))
    const messages = await readAll(topic, count, { codec: 'bytes' })
    expect(messages.map(({ bytes: body }) => body?.equals(Buffer.alloc(bytes, body[0])) === true && body[0])).toEqual(
      numbers(count),
    )
  })

  test('a payload that fits, with headers that no longer do, is refused by itself', async () => {
    const topic = unique('topic')
    const producer = openStream().producer<Uint8Array>(topic, { codec: 'bytes' })
    const large = producer.send(Buffer.alloc(1_048_000), { headers: { long: 'x'.repeat(20_000) } })
    const small = producer.send(Buffer.from('small'))
    await expect(large).rejects.toMatchObject({ code: 'TOO_LARGE' })
    await small
    expect(await readAll(topic, 1, { codec: 'bytes' })).toHaveLength(1)
  })
})

describe('batches of sub-entries', () => {
  test.each(['none', 'gzip'] as const)(
    'compression %s: every entry arrives, at its own offset',
    async (compression) => {
      const topic = unique('topic')
      const count = 2_000
      const producer = openStream().producer<number>(topic, { 'rabbitmq-stream': { subEntrySize: 100, compression } })
      await Promise.all(numbers(count).map((number) => producer.send(number)))
      const messages = await readAll(topic, count)
      expect(messages.map(({ value }) => value)).toEqual(numbers(count))
      expect(messages.map(({ offset }) => Number(offset))).toEqual(numbers(count))
      const later = await readAll(topic, count - 550, { from: { offset: '550' } })
      expect(later.map(({ value }) => value)).toEqual(numbers(count).slice(550))
    },
  )

  test('written by the library itself, several to a chunk and between single messages: every entry, at its own offset', async () => {
    const topic = unique('topic')
    const transport = openStream()
    await transport.admin.provision(transport.topicSpec(topic))
    await publishByLibrary(topic, 20, 50)
    const count = 20 * 51
    const messages = await readAll(topic, count)
    expect(messages.map(({ value }) => value)).toEqual(numbers(count))
    expect(messages.map(({ offset }) => Number(offset))).toEqual(numbers(count))
    const later = await readAll(topic, count - 777, { from: { offset: '777' } })
    expect(later.map(({ value }) => value)).toEqual(numbers(count).slice(777))
  })
})

describe('foreign properties', () => {
  test('numbers, zero, empty texts, booleans and floats in AMQP 0-9-1 headers are read, and end nothing', async () => {
    const topic = unique('topic')
    const transport = openStream()
    await transport.admin.provision(transport.topicSpec(topic))
    const headers = {
      one: 1,
      zero: 0,
      big: 2 ** 40,
      negative: -5,
      empty: '',
      yes: true,
      no: false,
      half: 1.5,
      text: 'é',
    }
    await publishForeign(topic, [{ body: Buffer.from('1'), headers }, { body: Buffer.from('2') }])
    const [first, second] = await readAll(topic, 2)
    expect(first?.headers).toMatchObject({
      one: '1',
      zero: '0',
      big: String(2 ** 40),
      negative: '-5',
      empty: '',
      yes: 'true',
      no: 'false',
      half: '1.5',
      text: 'é',
    })
    expect(second?.value).toBe(2)
  })

  test('none in a section that is there, and integers of every width, are read, and end nothing', async () => {
    const topic = unique('topic')
    const client = await openClient(sourceOf(BROKER_URL))
    await client.createStream({ stream: topic })
    const { connection, publisherId } = await client.publisher(topic, undefined)
    // application-properties: {}, then { n: 0 } as a one-byte int; each with the data section '1'.
    const bodies = ['005374c10100005375a00131', '005374c10602a1016e54000053 75a00131'].map((hex) =>
      Buffer.from(hex.replaceAll(' ', ''), 'hex'),
    )
    for (const [index, body] of bodies.entries()) connection.write(publishFrame(publisherId, index + 1, body))
    const messages = await readAll(topic, 2)
    expect(messages.map(({ value, headers }) => [value, headers])).toEqual([
      [1, {}],
      [1, { n: '0' }],
    ])
    await client.deleteStream({ stream: topic })
    await client.close()
  })
})

describe('handlers', () => {
  test('that throw cost no credit: with one chunk at a time, all chunks come, in order', async () => {
    const topic = unique('topic')
    const transport = openStream()
    const producer = transport.producer<number>(topic)
    // One chunk each.
    for (const number of numbers(10)) await producer.send(number)
    const loop = transport.consumer<number>(topic, {
      group: unique('group'),
      concurrency: 1,
      retry: { minDelayMs: 1, maxDelayMs: 1 },
      'rabbitmq-stream': { chunksAhead: 1 },
    })
    const done: number[] = []
    loop.handle(({ value, attempt }) => {
      if (attempt === 1) throw new Error('not at first')
      done.push(value)
    })
    const run = loop.run()
    await until(() => done.length === 10)
    expect(done).toEqual(numbers(10))
    await loop.close()
    await run
  })
})

describe('connecting always comes to an end', () => {
  test('a port that accepts and closes: UNAVAILABLE', async () => {
    const at = await port((socket) => socket.end())
    const producer = openStream({}, `rabbitmq-stream://127.0.0.1:${at}`).producer('orders', { connectTimeoutMs: 300 })
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a port that never says anything: UNAVAILABLE', async () => {
    const at = await port(() => {})
    const producer = openStream({}, `rabbitmq-stream://127.0.0.1:${at}`).producer('orders', { connectTimeoutMs: 300 })
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a port that answers something else: UNAVAILABLE', async () => {
    const at = await port((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const producer = openStream({}, `rabbitmq-stream://127.0.0.1:${at}`).producer('orders', { connectTimeoutMs: 300 })
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  test('a host that is down is passed over', async () => {
    const dead = await port((socket) => socket.destroy())
    const url = BROKER_URL.replace('@', `@127.0.0.1:${dead},`)
    await openStream({}, url).producer(unique('topic')).init()
  })

  test('a wrong password: UNAUTHENTICATED, at the first try', async () => {
    const producer = openStream({ password: 'wrong' }, BROKER_URL.replace(/guest:guest/, 'guest')).producer('orders')
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAUTHENTICATED', retryable: false })
  })

  test('a wrong password, and another host that is down: UNAUTHENTICATED', async () => {
    const dead = await port((socket) => socket.destroy())
    const url = BROKER_URL.replace(/guest:guest(@[^/?]+)/, `guest$1,127.0.0.1:${dead}`)
    const producer = openStream({ password: 'wrong' }, url).producer('orders')
    await expect(producer.init()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test("a virtual host that doesn't exist: PERMISSION_DENIED, also with a name that isn't ASCII", async () => {
    for (const vhost of ['nowhere', 'nirgendwö']) {
      const producer = openStream({}, `${BROKER_URL}/${encodeURIComponent(vhost)}`).producer('orders')
      await expect(producer.init()).rejects.toMatchObject({ code: 'PERMISSION_DENIED', retryable: false })
    }
  })
})

describe('connections', () => {
  test('what is read has one of its own; a candidacy shares that of what its member stores, so that both are handled in order', async () => {
    const stream = unique('topic')
    await openStream().producer<number>(stream).send(1)
    const client = await openClient(sourceOf(BROKER_URL))
    const settings = { stream, offset: Offset.next(), consumerRef: 'group' }
    const candidacy = await client.subscribe({ ...settings, credit: 0, singleActive: true }, {})
    const reading = await client.subscribe({ ...settings, credit: 1 }, {})
    expect(candidacy.connection).toBe(client.locator)
    expect(reading.connection).not.toBe(client.locator)
    expect(await client.connections()).toHaveLength(2)
    await client.close()
  })
})

describe('a connection that ends', () => {
  test('rejects what waits for an answer, and what is asked of it later', async () => {
    const client = await openClient(sourceOf(BROKER_URL))
    const waiting = client.queryMetadata({ streams: ['orders'] })
    client.locator.socket.destroy()
    await expect(waiting).rejects.toThrow()
    await expect(client.queryMetadata({ streams: ['orders'] })).rejects.toThrow()
    await client.close()
  })

  test("by the server's Close: told with the broker's reason, not thrown out of the socket", async () => {
    const errors: Error[] = []
    const events = {
      closed: (_: unknown, error: Error) => errors.push(error),
      confirmed() {},
      refused() {},
      streamChanged() {},
    }
    const client = await openClient(sourceOf(BROKER_URL), events as never)
    client.locator.write(Buffer.from('0000000807770001 00000001'.replace(' ', ''), 'hex'))
    await until(() => errors.length === 1)
    expect(errors[0]).toBeInstanceOf(ServerError)
    expect(errors[0]).toMatchObject({ code: ResponseCode.unknownFrame })
    await client.close()
  })

  test('its stream is deleted under a running loop: no unhandled rejection, the loop goes on with the new one', async () => {
    const [topic, group] = [unique('topic'), unique('group')]
    const transport = openStream()
    const loop = transport.consumer<number>(topic, { group })
    const seen: Seen[] = []
    loop.handle((message) => void seen.push(seenOf(message)))
    const run = loop.run()
    await loop.init()
    await transport.admin.deleteTopic(transport.topicSpec(topic))
    await until(() => loop.stats().reconnects > 0)
    await transport.producer<number>(topic).send(7)
    await until(() => seen.length === 1)
    await loop.close()
    await run
  })

  test('refused subscriptions give their numbers back', async () => {
    const client = await openClient(sourceOf(BROKER_URL))
    const stream = unique('stream')
    await client.createStream({ stream })
    const refused = { stream, offset: Offset.next(), credit: 1, singleActive: true, consumerRef: 'x'.repeat(300) }
    for (let attempt = 0; attempt < 300; attempt += 1) {
      await expect(client.subscribe(refused, {})).rejects.toThrow(ServerError)
    }
    expect(client.locator.subscriptionIds.size).toBe(0)
    await client.deleteStream({ stream })
    await client.close()
  })

  test('in the midst of a frame: what comes on the next one is read from its beginning', async () => {
    const topic = unique('topic')
    const producer = openStream().producer<Uint8Array>(topic, { codec: 'bytes' })
    const count = 20
    await Promise.all(numbers(count).map((number) => producer.send(Buffer.alloc(50_000, number))))
    const broker = new URL(BROKER_URL)
    const proxy = await TcpProxy.start({ host: broker.hostname, port: Number(broker.port) })
    onTestFinished(() => proxy.close())
    const cut = (async () => {
      // Some way into the first chunks, a little further each time.
      for (const bytes of [60_007, 120_007, 180_007]) await proxy.resetAfter('to-client', bytes)
    })()
    const through = openStream({}, `rabbitmq-stream://guest:guest@127.0.0.1:${proxy.port}?loadBalancer=true`)
    const loop = through.consumer<Uint8Array>(topic, { group: unique('group'), codec: 'bytes', concurrency: 1 })
    const seen = new Set<number>()
    loop.handle(({ value }) => {
      expect(Buffer.from(value).equals(Buffer.alloc(50_000, value[0]))).toBe(true)
      seen.add(value[0] ?? -1)
    })
    const run = loop.run()
    await cut
    await until(() => seen.size === count)
    await loop.close()
    await run
  })

  test('more publishers than a byte can number: each has a number of its own, on one connection or the next', async () => {
    const client = await openClient(sourceOf(BROKER_URL))
    const stream = unique('stream')
    await client.createStream({ stream })
    const handles = []
    for (let count = 0; count < 300; count += 1) handles.push(await client.publisher(stream, undefined))
    const numbersInUse = new Set(
      handles.map(({ connection, publisherId }) => `${connection.connectionId} ${publisherId}`),
    )
    expect(numbersInUse.size).toBe(300)
    await client.deleteStream({ stream })
    await client.close()
  })

  test('more assignments than a byte can number: subscription ids are used again, and leave nothing behind', async () => {
    const warnings: string[] = []
    const warn = (warning: Error): void => void warnings.push(warning.message)
    process.on('warning', warn)
    onTestFinished(() => void process.off('warning', warn))
    const topic = unique('topic')
    const transport = openStream()
    await transport.producer<number>(topic).send(1)
    const loop = transport.consumer<number>(topic, { group: unique('group') })
    let handled = 0
    loop.handle(() => {
      handled += 1
    })
    const run = loop.run()
    await until(() => handled === 1)
    for (let turn = 0; turn < 300; turn += 1) await loop.seek('latest')
    await loop.seek('earliest')
    await until(() => handled === 2)
    expect(warnings).toEqual([])
    expect(loop.stats().reconnects).toBe(0)
    await loop.close()
    await run
  })
})

describe('the pieces', () => {
  test('frames are found wherever the pieces are cut', () => {
    const frames = [Buffer.from([0, 0, 0, 1, 7]), Buffer.from([0, 0, 0, 0]), Buffer.from([0, 0, 0, 5, 1, 2, 3, 4, 5])]
    const all = Buffer.concat(frames)
    for (let size = 1; size <= all.length; size += 1) {
      const found: Buffer[] = []
      const reader = new FrameReader(100)
      for (let at = 0; at < all.length; at += size)
        reader.push(all.subarray(at, at + size), (frame) => found.push(Buffer.from(frame)))
      expect(found).toEqual(frames)
    }
  })

  test('a frame beyond the limit is refused', () => {
    expect(() => new FrameReader(100).push(Buffer.from([0, 1, 0, 0]), () => {})).toThrow(RangeError)
  })

  test('a peer is dead after two silent intervals, however often we have spoken', () => {
    vi.useFakeTimers()
    try {
      const dead = vi.fn()
      let sent = 0
      const heartbeat = new Heartbeat(() => (sent += 1), dead)
      heartbeat.start(1_000)
      vi.advanceTimersByTime(2_000)
      heartbeat.heard()
      vi.advanceTimersByTime(2_000)
      expect(dead).not.toHaveBeenCalled()
      vi.advanceTimersByTime(1_000)
      expect(dead).toHaveBeenCalled()
      expect(sent).toBeGreaterThan(2)
      heartbeat.stop()
    } finally {
      vi.useRealTimers()
    }
  })

  test('a clock that is set forward is no silence', () => {
    vi.useFakeTimers()
    try {
      const dead = vi.fn()
      const heartbeat = new Heartbeat(() => {}, dead)
      heartbeat.start(1_000)
      vi.setSystemTime(Date.now() + 3_600_000)
      vi.advanceTimersByTime(2_000)
      expect(dead).not.toHaveBeenCalled()
      heartbeat.stop()
    } finally {
      vi.useRealTimers()
    }
  })

  test('a password that is not ASCII is counted in bytes', () => {
    const frame = encodeRequest(new PlainAuthenticateRequest('ü', 'pässwörd'), 1)
    expect(frame.readUInt32BE(0)).toBe(frame.length - 4)
    expect(frame.subarray(-14).toString()).toBe('\0ü\0pässwörd'.slice(-12))
    expect(frame.readUInt32BE(19)).toBe(Buffer.byteLength('\0ü\0pässwörd'))
  })

  test('publish errors name their ids and codes', () => {
    const frame = Buffer.from(
      '0000001d0004000103 00000002 0000000000000007 0006 0000000000000008 0012'.replaceAll(' ', ''),
      'hex',
    )
    expect(readPublishErrors(frame)).toEqual([
      { publishingId: 7n, code: 6 },
      { publishingId: 8n, code: 18 },
    ])
  })
})
