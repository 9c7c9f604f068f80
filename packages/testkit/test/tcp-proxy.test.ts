import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { findFreePort } from '../src/brokers/ports.js'
import { TcpProxy } from '../src/faults/tcp-proxy.js'

/** One end of a connection: what it has received, and how it ended. */
class End {
  readonly socket: Socket
  received = Buffer.alloc(0)
  /** In the order in which they came: `end`, or the code of an error. */
  readonly events: string[] = []

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.received = Buffer.concat([this.received, bytes])
    })
    socket.on('end', () => this.events.push('end'))
    socket.on('error', (error: NodeJS.ErrnoException) => this.events.push(error.code ?? error.message))
    socket.on('close', () => this.events.push('close'))
  }

  get text(): string {
    return this.received.toString()
  }
}

let server: Server
let proxy: TcpProxy
let ends: End[]

beforeEach(async () => {
  ends = []
  server = createServer({ allowHalfOpen: true }, (socket) => ends.push(new End(socket)))
  const port = await findFreePort()
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  proxy = await TcpProxy.start({ port })
})

afterEach(async () => {
  await proxy.close()
  for (const { socket } of ends) socket.destroy()
  server.close()
})

async function open(): Promise<{ readonly client: End; readonly server: End }> {
  const before = ends.length
  const client = new End(connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true }))
  await until(() => ends.length > before)
  return { client, server: ends.at(-1) as End }
}

const until = (condition: () => boolean): Promise<void> =>
  expect.poll(condition, { interval: 2, timeout: 10_000 }).toBe(true)

describe('without a fault', () => {
  test('bytes pass in both directions, in order, and so do half-closes', async () => {
    const { client, server } = await open()
    const large = Buffer.alloc(3_000_000, 'abcdefghij')
    client.socket.end(large)
    await until(() => server.events.includes('end'))
    expect(server.received.equals(large)).toBe(true)
    expect(client.events).toEqual([])
    server.socket.end('answer')
    await until(() => client.events.includes('close'))
    expect(client.text).toBe('answer')
    expect(proxy.carried).toEqual({ 'to-server': large.length, 'to-client': 6 })
    await until(() => proxy.connections === 0)
  })

  test('a server that is not there: the connection is reset', async () => {
    await using orphan = await TcpProxy.start({ port: await findFreePort() })
    const client = new End(connect(orphan.port, '127.0.0.1'))
    await until(() => client.events.includes('close'))
    expect(client.events).toContain('ECONNRESET')
  })

  test('the reset of one side reaches the other', async () => {
    const { client, server } = await open()
    server.socket.resetAndDestroy()
    await until(() => client.events.includes('close'))
    expect(client.events).toContain('ECONNRESET')
  })
})

describe('faults', () => {
  test('cut: present connections are reset on both sides, new ones are taken', async () => {
    const { client, server } = await open()
    expect(proxy.cut()).toBe(1)
    await until(() => client.events.includes('close') && server.events.includes('close'))
    expect([client.events[0], server.events[0]]).toEqual(['ECONNRESET', 'ECONNRESET'])
    const again = await open()
    again.client.socket.write('x')
    await until(() => again.server.text === 'x')
  })

  test('refuse: new connections are reset until heal', async () => {
    const { client, server } = await open()
    proxy.refuse()
    const refused = new End(connect(proxy.port, '127.0.0.1'))
    await until(() => refused.events.includes('close'))
    client.socket.write('x')
    await until(() => server.text === 'x')
    proxy.heal()
    await open()
  })

  test.each([
    ['to-server', 'server', 'client'],
    ['to-client', 'client', 'server'],
  ] as const)('half-close %s: that side sees the end, the other goes on', async (direction, told, other) => {
    const connection = await open()
    expect(proxy.halfClose(direction)).toBe(1)
    await until(() => connection[told].events.includes('end'))
    connection[told].socket.write('still here')
    await until(() => connection[other].text === 'still here')
  })

  test.each([
    ['to-server', 'client', 'server'],
    ['to-client', 'server', 'client'],
  ] as const)(
    'silence %s: nothing passes in it, the end neither; the other direction goes on',
    async (direction, from, to) => {
      const connection = await open()
      expect(proxy.silence(direction)).toBe(1)
      connection[from].socket.end('kept')
      connection[to].socket.write('passes')
      await until(() => connection[from].text === 'passes')
      expect(connection[to].text).toBe('')
      expect(connection[to].events).toEqual([])
      const another = await open()
      another.client.socket.write('x')
      await until(() => another.server.text === 'x')
      proxy.heal()
      await until(() => connection[to].text === 'kept' && connection[to].events.includes('end'))
    },
  )

  test('silence in both directions is half-open: neither end hears that the other is gone', async () => {
    const { client, server } = await open()
    proxy.silence('both', 'all')
    server.socket.resetAndDestroy()
    const later = new End(connect(proxy.port, '127.0.0.1'))
    later.socket.write('x')
    await until(() => ends.length === 2)
    client.socket.write('into the void')
    await new Promise((resolve) => client.socket.write('more', resolve))
    expect(client.events).toEqual([])
    expect(ends[1]?.text).toBe('')
    proxy.heal()
    await until(() => client.events.includes('ECONNRESET') && ends[1]?.text === 'x')
  })

  test('delay: pieces come later, in order, all by the same time', async () => {
    const { client, server } = await open()
    proxy.delay(200)
    const started = Date.now()
    for (const text of ['a', 'b', 'c']) {
      client.socket.write(text)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await until(() => server.text === 'abc')
    expect(Date.now() - started).toBeGreaterThanOrEqual(200)
  })

  test('trickle: no more than so many bytes per second', async () => {
    const { client, server } = await open()
    proxy.trickle(10_000)
    const started = Date.now()
    client.socket.write(Buffer.alloc(3_000, 'x'))
    await until(() => server.received.length === 3_000)
    expect(Date.now() - started).toBeGreaterThanOrEqual(250)
  })

  test.each([
    ['to-server', 'client', 'server'],
    ['to-client', 'server', 'client'],
  ] as const)('reset after n bytes %s: exactly those arrive', async (direction, from, to) => {
    const connection = await open()
    const hit = proxy.resetAfter(direction, 1_234)
    connection[from].socket.write(Buffer.alloc(1_000, 'x'))
    await until(() => connection[to].received.length === 1_000)
    connection[from].socket.write(Buffer.alloc(1_000, 'x'))
    await hit
    // A kernel that still has bytes for its reader may tell the reset as an end behind them.
    await until(() => connection[to].events.length > 0 && connection[from].events.includes('close'))
    expect(connection[from].events).toContain('ECONNRESET')
    expect(connection[to].received.length).toBe(1_234)
    expect(proxy.carried[direction]).toBe(1_234)
    const again = await open()
    again[from].socket.write('whole')
    await until(() => again[to].text === 'whole')
  })

  test('close resets what is open', async () => {
    const { client } = await open()
    await proxy.close()
    await until(() => client.events.includes('close'))
    expect(client.events[0]).toBe('ECONNRESET')
  })
})
