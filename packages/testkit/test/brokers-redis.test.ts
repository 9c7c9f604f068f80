import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type BrokerHandle, brokerTool, findFreePort, startBroker } from '../src/brokers/index.js'
import { identifyProcess, isRunning, isStopped } from '../src/brokers/process.js'

/** Sends one inline command and resolves with the whole first reply line. */
function ask(port: number, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\n`))
    let text = ''
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      text += chunk
      if (!text.includes('\r\n')) return
      socket.destroy()
      resolve(text.split('\r\n')[0] ?? '')
    })
  })
}

describe('a Redis of its own', () => {
  let broker: BrokerHandle

  beforeAll(async () => {
    broker = await startBroker('redis', { config: ['maxmemory 64mb'] })
  }, 120_000)

  afterAll(async () => {
    await broker?.remove()
  })

  const port = (): number => broker.ports['redis'] ?? 0

  it('answers on its port with its extra configuration', async () => {
    expect(broker.url).toBe(`redis://127.0.0.1:${port()}`)
    expect(await broker.healthy()).toBe(true)
    const { stdout } = spawn(await brokerTool('redis-cli'), ['-p', String(port()), 'config', 'get', 'maxmemory'])
    const [reply] = await once(stdout, 'data')
    expect(String(reply)).toBe('maxmemory\n67108864\n')
  })

  it('keeps what it confirmed when it is killed, and comes back on the same port with a new process', async () => {
    expect(await ask(port(), 'SET answered yes')).toBe('+OK')
    const killed = broker.pid
    const identity = identifyProcess(killed ?? 0)
    await broker.kill()
    expect(broker.running).toBe(false)
    expect(broker.pid).toBeUndefined()
    expect(identity !== undefined && isRunning(identity)).toBe(false)
    await expect(ask(port(), 'PING')).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await broker.start()
    expect(broker.pid).not.toBe(killed)
    expect(await ask(port(), 'APPEND answered !')).toBe(':4')
  })

  it('is silent but connected while it is paused', async () => {
    const identity = identifyProcess(broker.pid ?? 0)
    if (identity === undefined) throw new Error('the broker is not running')
    broker.pause()
    // The kernel stops it in its own time.
    await expect.poll(() => isStopped(identity)).toBe(true)
    expect(await broker.healthy(100)).toBe(false)
    broker.resume()
    await broker.ready()
    expect(await broker.healthy()).toBe(true)
  })

  it('refuses a port that somebody holds, naming the holder, and leaves that one alone', async () => {
    const server = createServer().listen(await findFreePort(), '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    const taken = typeof address === 'object' && address !== null ? address.port : 0
    try {
      await expect(startBroker('redis', { port: taken })).rejects.toMatchObject({
        code: 'CONFLICT',
        message: expect.stringContaining(`port ${taken} is held by process ${process.pid}`),
      })
      expect(server.listening).toBe(true)
    } finally {
      server.close()
    }
  })

  it('quotes its log when it can not start', async () => {
    const failure = startBroker('redis', { config: ['no-such-directive yes'] })
    await expect(failure).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('no-such-directive'),
    })
  })

  it('stops, is killed in vain, starts again, and its removal takes its temporary folder along', async () => {
    const other = await startBroker('redis')
    expect(other.ports['redis']).not.toBe(port())
    await other.stop()
    await other.kill()
    expect(() => other.pause()).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
    await other.start()
    await other.remove()
    expect(other.running).toBe(false)
    expect(existsSync(other.dataDir)).toBe(false)
    expect(await broker.healthy()).toBe(true)
  })
})
