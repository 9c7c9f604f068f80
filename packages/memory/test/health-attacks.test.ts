import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'

const WORKER = fileURLToPath(new URL('./support/health-worker.mjs', import.meta.url))

interface Usage {
  readonly handled: number
  readonly cpuMicros: number
  readonly rss: number
}

/** A running service whose health port is attacked. */
class Service {
  readonly child: ChildProcess
  readonly port: number

  constructor(child: ChildProcess, port: number) {
    this.child = child
    this.port = port
  }

  static async start(args: readonly string[] = []): Promise<Service> {
    const child = fork(WORKER, args)
    const [{ port }] = (await once(child, 'message')) as [{ port: number }]
    return new Service(child, port)
  }

  /** Sends one more message through it, and says what it has used so far. */
  async usage(): Promise<Usage> {
    const answer = once(this.child, 'message')
    this.child.send('usage')
    const [usage] = (await answer) as [Usage]
    return usage
  }

  /** The status of an honest probe. */
  async probe(path = '/healthz', host = '127.0.0.1'): Promise<{ status: number; body: Record<string, unknown> }> {
    const response = await fetch(`http://${host}:${this.port}${path}`)
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }

  /** Writes raw bytes and resolves with what came back until the connection was closed. */
  async raw(bytes: string | Buffer): Promise<string> {
    const socket = connect(this.port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.end(bytes)
    await closed
    return Buffer.concat(chunks).toString()
  }

  async stop(): Promise<number | null> {
    const exit = once(this.child, 'exit')
    this.child.kill('SIGTERM')
    const [code] = (await exit) as [number | null]
    return code
  }
}

let service: Service | undefined

afterEach(async () => {
  service?.child.kill('SIGKILL')
  service = undefined
})

const request = (target: string, method = 'GET', headers = ''): string =>
  `${method} ${target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${headers}\r\n`

describe('the health port under hostile requests', () => {
  it.each([
    ['an empty authority', request('//'), 404],
    ['an absolute form with a broken address', request('http://[x/'), 404],
    ['an absolute form without a path', request('http://x'), 404],
    ['an absolute form of a path that is there', request('http://x/healthz'), 200],
    ['escapes that are none', request('/%E0%A4%A?%=%zz'), 404],
    ['a query of escapes that are none', request('/healthz?lag=%E0%A4%A'), 200],
    ['a target of 12,000 characters', request(`/${'a'.repeat(12_000)}`), 404],
    ['a target with a NUL and raw bytes', Buffer.from(`GET /\u00ff\u00fe/ HTTP/1.1\r\nhost: x\r\n\r\n`, 'latin1'), 400],
    ['OPTIONS *', request('*', 'OPTIONS'), 404],
    ['a method that is not taken', request('/healthz', 'DELETE'), 405],
    ['an expectation that nobody has', request('/healthz', 'GET', 'expect: miracles\r\n'), 417],
    ['a path beside the known ones', request('/__proto__'), 404],
  ])('%s is answered, and the service lives', async (_title, bytes, status) => {
    service = await Service.start()
    const answer = await service.raw(bytes)
    // A parser may refuse what another one of the same HTTP version takes.
    expect([String(status), '400', '404']).toContain(answer.split(' ')[1])
    expect((await service.probe()).status).toBe(200)
    expect((await service.probe('/readyz')).status).toBe(200)
    const before = await service.usage()
    expect((await service.usage()).handled).toBeGreaterThan(before.handled)
    expect(await service.stop()).toBe(0)
  })

  it('CONNECT, an upgrade and bytes that are no HTTP leave it running', async () => {
    service = await Service.start()
    for (const bytes of [
      'CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\n\r\n',
      request('/healthz', 'GET', 'upgrade: websocket\r\n'),
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      Buffer.alloc(100_000, 0xff),
      `GET /healthz HTTP/1.1\r\n${'x: y\r\n'.repeat(20_000)}\r\n`,
    ])
      await service.raw(bytes)
    expect((await service.probe()).status).toBe(200)
    expect(await service.stop()).toBe(0)
  })

  it('a thousand hostile requests cost no more than ten times as many honest ones', async () => {
    service = await Service.start()
    const targets = ['//', 'http://[x/', '/%', `/${'a'.repeat(4_000)}`]
    const cost = async (work: (index: number) => Promise<unknown>): Promise<number> => {
      const before = (await (service as Service).usage()).cpuMicros
      for (let index = 0; index < 1_000; index += 1) await work(index)
      return (await (service as Service).usage()).cpuMicros - before
    }
    const current = service
    const honest = await cost(() => current.raw(request('/healthz')))
    const hostile = await cost((index) => current.raw(request(targets[index % targets.length] as string)))
    expect(hostile).toBeLessThan(honest * 10)
    expect((await service.usage()).rss).toBeLessThan(400 * 1024 * 1024)
  })

  it('300 connections that say nothing do not keep probes out, and are closed', async () => {
    service = await Service.start()
    const { port } = service
    const silent: Socket[] = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const socket = connect(port, '127.0.0.1')
        socket.on('error', () => {})
        await once(socket, 'connect')
        return socket
      }),
    )
    expect((await service.probe()).status).toBe(200)
    await Promise.all(silent.map((socket) => (socket.resume().destroyed ? undefined : once(socket, 'close'))))
    expect((await service.probe()).status).toBe(200)
  })
})

describe('what the health port tells', () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((one) => one?.family === 'IPv4' && !one.internal)?.address

  it('everything to callers on this machine, unless it is told not to', async () => {
    service = await Service.start()
    expect((await service.probe('/healthz?lag')).body).toMatchObject({ live: true, loops: { orders: { lag: 0 } } })
    await service.stop()
    service = await Service.start(['false'])
    expect((await service.probe('/healthz?lag')).body).toEqual({
      state: 'running',
      live: true,
      ready: true,
      degraded: false,
    })
  })

  it('the state alone to web pages, whose requests the browser on this machine sends', async () => {
    service = await Service.start()
    const { port } = service
    const told = async (host: string, ...headers: readonly string[]) =>
      (
        await service?.raw(
          `GET /healthz HTTP/1.1\r\n${[`Host: ${host}`, ...headers, 'Connection: close'].join('\r\n')}\r\n\r\n`,
        )
      )?.includes('"loops"')
    for (const host of [
      'localhost',
      `LocalHost:${port}`,
      'a.localhost.',
      `127.0.0.1:${port}`,
      '[::1]',
      '[::ffff:127.0.0.1]:1',
    ])
      expect(await told(host), host).toBe(true)
    expect(await told('localhost', 'Sec-Fetch-Site: none')).toBe(true)
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'evil-localhost',
      '2130706433',
      'localhost@evil.example',
      '[::1',
      '',
    ])
      expect(await told(host), host).toBe(false)
    for (const header of [
      'Origin: http://evil.example',
      'ORIGIN: null',
      'Sec-Fetch-Site: cross-site',
      'sec-fetch-site: same-origin',
      'Sec-Fetch-Site: none, cross-site',
    ])
      expect(await told('localhost', header), header).toBe(false)
    expect((await service.probe()).status).toBe(200)
  })

  it.runIf(outside !== undefined)('the state alone to others, unless it is told to', async () => {
    service = await Service.start()
    expect(await service.probe('/healthz?lag', outside)).toEqual({
      status: 200,
      body: { state: 'running', live: true, ready: true, degraded: false },
    })
    await service.stop()
    service = await Service.start(['true'])
    expect((await service.probe('/healthz', outside)).body).toHaveProperty('loops')
  })
})
