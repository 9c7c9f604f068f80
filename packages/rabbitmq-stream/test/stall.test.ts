import { connect, createServer, type Socket } from 'node:net'
import type { ConsumerEvents } from '@streamswitch/core'
import { startBroker } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { openStream, unique, until } from './support/bench.js'

/** Frames of the stream protocol begin with their length and their kind; a delivery goes on with its version and the subscription. */
const DELIVER = 8

interface Ears {
  /** The subscription that got something last. */
  last: number | undefined
  /** The subscription whose deliveries are swallowed. */
  deaf: number | undefined
  swallowed: number
}

/** Stands before the broker and passes everything on, heartbeats included; told to, it swallows what comes for the subscriptions that got something last. */
class DeafProxy {
  readonly port: number
  readonly #close: () => void
  readonly #ears: Ears[]

  private constructor(port: number, connections: Ears[], close: () => void) {
    this.port = port
    this.#ears = connections
    this.#close = close
  }

  static async start(target: URL): Promise<DeafProxy> {
    const connections: Ears[] = []
    const sockets: Socket[] = []
    const server = createServer((client) => {
      const broker = connect(Number(target.port), target.hostname)
      const ears: Ears = { last: undefined, deaf: undefined, swallowed: 0 }
      connections.push(ears)
      sockets.push(client, broker)
      client.pipe(broker)
      let rest = Buffer.alloc(0)
      broker.on('data', (data: Buffer) => {
        rest = Buffer.concat([rest, data])
        for (let end = frameEnd(rest); end !== undefined; end = frameEnd(rest)) {
          const frame = rest.subarray(0, end)
          rest = rest.subarray(end)
          const subscription = frame.readUInt16BE(4) === DELIVER ? frame.readUInt8(8) : undefined
          if (subscription !== undefined && subscription === ears.deaf) ears.swallowed += 1
          else client.write(frame)
          ears.last = subscription ?? ears.last
        }
      })
      for (const [one, other] of [
        [client, broker],
        [broker, client],
      ] as const)
        one.on('error', () => {}).on('close', () => other.destroy())
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return new DeafProxy(address.port, connections, () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
  }

  deafen(): void {
    for (const ears of this.#ears) ears.deaf = ears.last
  }

  get swallowed(): number {
    return this.#ears.reduce((sum, { swallowed }) => sum + swallowed, 0)
  }

  close(): void {
    this.#close()
  }
}

function frameEnd(bytes: Buffer): number | undefined {
  if (bytes.length < 4) return undefined
  const end = 4 + bytes.readUInt32BE(0)
  return bytes.length < end ? undefined : end
}

test('a subscription that gets no messages while its connection lives is found, told and replaced; nothing is lost', async () => {
  const broker = await startBroker('rabbitmq')
  onTestFinished(() => broker.remove())
  const brokerUrl = broker.urls['rabbitmq-stream'] ?? ''
  const target = new URL(brokerUrl)
  const proxy = await DeafProxy.start(target)
  onTestFinished(() => proxy.close())
  const url = brokerUrl.replace(`:${target.port}`, `:${proxy.port}`)
  const [topic, group] = [unique('topic'), unique('group')]
  const direct = openStream({}, brokerUrl)
  const producer = direct.producer<number>(topic)
  const loop = openStream({ loadBalancer: true }, url).consumer<number>(topic, { group, stallTimeoutMs: 1_000 })
  const seen: number[] = []
  const stalls: ConsumerEvents['stalled'][] = []
  const recoveries: ConsumerEvents['recovered'][] = []
  const reasons: string[] = []
  loop.on('stalled', (event) => stalls.push(event))
  loop.on('recovered', (event) => recoveries.push(event))
  loop.on('reconnecting', ({ error }) => reasons.push(error.message))
  loop.handle((message) => void seen.push(message.value))
  await loop.init()
  void loop.run()
  await producer.send(0)
  await until(() => seen.length === 1)
  proxy.deafen()
  for (let value = 1; value <= 20; value += 1) await producer.send(value)
  await until(() => stalls.length > 0)
  expect(proxy.swallowed, 'messages were on their way').toBeGreaterThan(0)
  expect(reasons[0]).toContain('stallTimeoutMs')
  await until(() => new Set(seen).size === 21)
  await until(() => recoveries.length > 0)
  expect(stalls[0]).toMatchObject({ topic, partition: 0, reason: 'delivery' })
  expect(recoveries[0]).toEqual({ topic, partition: 0, reason: 'delivery' })
  expect(loop.stats()).toMatchObject({ stalled: false, heldUpBy: undefined })
  // What the new connection brings may be handled before it counts as open.
  await until(() => loop.stats().reconnects > 0)
})
