import { TcpProxy } from '@streamswitch/testkit/faults'
import { expect, onTestFinished, test } from 'vitest'
import { openStream, unique, until } from './support/bench.js'
import { BROKER_URL } from './support/broker.js'

test('a chunk that takes longer than a call may: the loop keeps its connection and gets on', {
  timeout: 60_000,
}, async () => {
  const { hostname, port } = new URL(BROKER_URL)
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) })
  onTestFinished(() => proxy.close())
  const [topic, group] = [unique('topic'), unique('group')]
  const count = 100
  const producer = openStream().producer<string>(topic, { partitions: 1, lingerMs: 50 })
  await producer.init()
  const url = new URL(BROKER_URL)
  url.hostname = '127.0.0.1'
  url.port = String(proxy.port)
  const slow = openStream({ loadBalancer: true, callTimeoutMs: 1_500 }, url.href)
  const settings = {
    group,
    partitions: 1,
    from: 'earliest',
    probeIntervalMs: 1_500,
    'rabbitmq-stream': { commitIntervalMs: 50 },
  } as const
  const loop = slow.consumer<string>(topic, settings)
  const seen: string[] = []
  const lost: string[] = []
  loop.handle((message) => void seen.push(message.id))
  loop.on('reconnecting', ({ error }) => lost.push(error.message))
  await loop.init()
  void loop.run()
  await producer.send('first', { id: 'first' })
  await until(() => seen.length === 1)
  proxy.trickle(40_000)
  // About five seconds' worth, at once.
  await Promise.all(Array.from({ length: count }, (_, number) => producer.send('x'.repeat(2_000), { id: `${number}` })))
  await until(() => seen.length > count)
  expect(lost, 'connections that were given up').toEqual([])
  expect(seen).toEqual(['first', ...Array.from({ length: count }, (_, number) => `${number}`)])
})
