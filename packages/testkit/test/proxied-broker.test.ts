import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startProxiedBroker } from '../src/faults/proxied-broker.js'

/** What a server at this address answers to PING, or the code of the error. */
function ping(url: string): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write('PING\r\n'))
    socket.once('data', (bytes: Buffer) => {
      resolve(bytes.toString())
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
}

test('a broker behind its proxy answers through it, is gone when it is killed, and comes back at the same address', async () => {
  await using stand = await startProxiedBroker('redis')
  expect(await ping(stand.url)).toBe('+PONG\r\n')
  expect(stand.proxy.carried).toEqual({ 'to-server': 6, 'to-client': 7 })
  await stand.broker.kill()
  expect(await ping(stand.url)).toBe('ECONNRESET')
  await stand.broker.start()
  expect(await ping(stand.url)).toBe('+PONG\r\n')
})
