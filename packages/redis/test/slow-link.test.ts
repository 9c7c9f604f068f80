import { TcpProxy } from '@streamswitch/testkit/faults'
import { expect, onTestFinished, test } from 'vitest'
import { openRedis, unique, until } from './bench.js'
import { brokerUrl } from './broker-url.js'

test('a link too slow for a whole fetch within the deadline: the loop gets on all the same', {
  timeout: 120_000,
}, async () => {
  const { hostname, port } = new URL(brokerUrl)
  const proxy = await TcpProxy.start({ host: hostname, port: Number(port) })
  onTestFinished(() => proxy.close())
  const [topic, group] = [unique('topic'), unique('group')]
  const direct = openRedis(brokerUrl)
  const count = 60
  const producer = direct.producer<string>(topic, { partitions: 1 })
  await Promise.all(Array.from({ length: count }, (_, number) => producer.send('x'.repeat(2_000), { id: `${number}` })))
  const slow = openRedis(`redis://127.0.0.1:${proxy.port}`, { leaseMs: 3_000, heartbeatMs: 500, callTimeoutMs: 600 })
  const loop = slow.consumer<string>(topic, { group, partitions: 1 })
  const seen = new Set<string>()
  loop.handle((message) => void seen.add(message.id))
  // A fetch of all of them would take ten deadlines; of half of them, five. The first one is small, and measures the link.
  proxy.trickle(20_000)
  await loop.init()
  void loop.run()
  await until(() => seen.size === count)
  expect([...seen]).toEqual(Array.from({ length: count }, (_, number) => `${number}`))
})
