import { createRequire } from 'node:module'
import { createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { findFreePort } from '@streamswitch/testkit/brokers'
import type { ChannelModel } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { keepExactBytes } from '../src/exact-frames.js'
import { askWhyRefused } from '../src/open-refusal.js'

const require = createRequire(import.meta.url)
const { Connection } = require(join(dirname(require.resolve('amqplib')), 'lib/connection.js')) as {
  readonly Connection: { readonly prototype: object }
}

/** The head of a method frame that claims 4 GiB. */
const ENDLESS = Buffer.from('010000fffffff0', 'hex')

test('a frame that claims more than what was agreed upon is refused by its head, before it is gathered', () => {
  let pieces = 0
  const connection = Object.assign(Object.create(Connection.prototype) as { rest: Buffer; recvFrame(): unknown }, {
    rest: Buffer.alloc(0),
    stream: {
      read: () => {
        pieces += 1
        return pieces === 1 ? ENDLESS : pieces < 1_000 ? Buffer.alloc(65_536) : null
      },
    },
    maxFrameSize: 131_072,
    channels: [],
  })
  keepExactBytes({ connection } as unknown as ChannelModel)
  expect(() => connection.recvFrame()).toThrow(/exceeds maxFrameSize 131072/)
  expect(pieces).toBe(1)
})

test('a peer that claims a huge frame while a connection is opened is not listened to', async () => {
  const port = await findFreePort()
  const sockets: Socket[] = []
  let written = 0
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.write(ENDLESS)
    const go = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536))) written += 65_536
    }
    socket.on('drain', go)
    go()
  })
  server.listen(port, '127.0.0.1')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const request = { host: '127.0.0.1', port, username: 'u', password: 'p', vhost: '/', tls: undefined }
  expect(await askWhyRefused(request)).toBeUndefined()
  // What sockets hold on their way, and no more: without a limit it went on for as long as the peer did.
  expect(written).toBeLessThan(64 * 1024 * 1024)
})
