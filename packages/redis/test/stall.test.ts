import { startBroker } from '@streamswitch/testkit/brokers'
import { expect, onTestFinished, test } from 'vitest'
import { openRedis, unique, until } from './bench.js'

test('a frozen server: found by the probe, told, and recovered from as soon as it goes on', async () => {
  const broker = await startBroker('redis')
  onTestFinished(() => broker.remove())
  const transport = openRedis(broker.url, { leaseMs: 1_000, heartbeatMs: 200, callTimeoutMs: 1_000 })
  const [topic, group] = [unique('topic'), unique('group')]
  const producer = transport.producer<number>(topic)
  const loop = transport.consumer<number>(topic, { group, probeIntervalMs: 300, stallTimeoutMs: 2_000 })
  const seen: number[] = []
  const reasons: string[] = []
  loop.on('reconnecting', ({ error }) => reasons.push(error.code))
  loop.handle((message) => void seen.push(message.value))
  await loop.init()
  void loop.run()
  await producer.send(1)
  await until(() => seen.length === 1)
  broker.pause()
  await until(() => reasons.length > 0)
  expect(['UNAVAILABLE', 'TIMEOUT']).toContain(reasons[0])
  expect(loop.stats(), 'an outage is no stall').toMatchObject({ connected: false, stalled: false })
  broker.resume()
  await producer.send(2)
  await until(() => seen.includes(2))
  expect(loop.stats()).toMatchObject({ connected: true, stalled: false })
  await transport.close()
})
