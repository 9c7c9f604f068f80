import { once } from 'node:events'
import net from 'node:net'
import { Transport } from '@streamswitch/core'
import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { parseServer } from '../src/bootstrap.js'
import kafka from '../src/index.js'
import { brokerAddress } from './support/broker.js'
import { uniqueTopic } from './support/member.js'

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function openTransport(brokers: readonly string[]): Transport {
  const options = { brokers }
  const transport = new Transport(kafka, 'kafka://', { environment: {}, logger: quiet, options })
  onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
  return transport
}

/** A server that is no Kafka. Resolves with its address. */
async function impostor(meet: (socket: net.Socket) => void): Promise<string> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => {}))
    meet(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as net.AddressInfo).port}`
}

/** Everything that a service does: administration, a producer, a loop, a request with its reply. */
async function useAll(transport: Transport): Promise<void> {
  const topic = uniqueTopic()
  await transport.admin.provision(transport.topicSpec(topic))
  const loop = transport.consumer<number>(topic, { group: 'g' })
  loop.handle(({ value }) => value + 1)
  await loop.init()
  void loop.run()
  const producer = transport.producer<number>(topic)
  await producer.send(1)
  expect(await producer.request(2).read()).toBe(3)
  await loop.close()
}

describe('a bootstrap list', () => {
  let other: BrokerHandle

  beforeAll(async () => {
    other = await startBroker('kafka')
  })

  afterAll(async () => {
    await other.remove()
  })

  it('is used whatever comes before its one live server: closed ports', async () => {
    const closed = [await findFreePort(), await findFreePort(), await findFreePort()]
    await useAll(openTransport([...closed.map((port) => `127.0.0.1:${port}`), brokerAddress]))
  })

  it('is used whatever comes before its one live server: a frozen broker', async () => {
    other.pause()
    try {
      await useAll(openTransport([other.url.replace('kafka://', ''), brokerAddress]))
    } finally {
      other.resume()
    }
  })

  it('is used whatever comes before its one live server: names that resolve to nothing', async () => {
    await useAll(openTransport(['no-such-host.invalid:9092', 'neither.invalid', brokerAddress]))
  })

  it('is used whatever comes before its one live server: one that closes, one that is silent, one that talks nonsense', async () => {
    const closing = await impostor((socket) => socket.destroy())
    const polite = await impostor((socket) => socket.once('data', () => socket.end()))
    const silent = await impostor(() => {})
    const other = await impostor((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await useAll(openTransport([closing, polite, silent, other, brokerAddress]))
  })

  it('that has no live server is reported with what each of them said', async () => {
    const closed = await findFreePort()
    const silent = await impostor(() => {})
    const options = { brokers: [`127.0.0.1:${closed}`, silent], connectionTimeoutMs: 200, requestTimeoutMs: 200 }
    const transport = new Transport(kafka, 'kafka://', { environment: {}, logger: quiet, options })
    onTestFinished(() => transport.close({ timeoutMs: 1_000 }))
    await expect(transport.admin.topics()).rejects.toMatchObject({
      code: expect.stringMatching(/UNAVAILABLE|TIMEOUT/),
      retryable: true,
      message: expect.stringMatching(new RegExp(`127.0.0.1:${closed}: .*ECONNREFUSED.*${silent}: `)),
    })
  })
})

describe('a bootstrap server', () => {
  it.each([
    ['b1:9093', { host: 'b1', port: 9093 }],
    ['b1', { host: 'b1', port: 9092 }],
    ['[::1]:9094', { host: '::1', port: 9094 }],
    ['[fe80::1]', { host: 'fe80::1', port: 9092 }],
  ])('%s is read', (text, server) => {
    expect(parseServer(text)).toEqual(server)
  })

  it.each([
    ['b1:', 'entry 2 is not one'],
    ['b1:0', "'b1:0'"],
    ['b1:70000', "'b1:70000'"],
    ['b1:x', 'entry 2 is not one'],
    ['::1', "'::1'"],
    ['a b:1', 'entry 2 is not one'],
    ['b1:9092:1', 'entry 2 is not one'],
  ])("'%s' is refused before any I/O", (text, named) => {
    expect(() => openTransport(['b0:9092', text])).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT', message: expect.stringContaining(named) }),
    )
  })
})
