import { Transport } from '@streamswitch/core'
import { crashConformance } from '@streamswitch/testkit'
import { type BrokerHandle, startBroker } from '@streamswitch/testkit/brokers'
import { afterAll, beforeAll } from 'vitest'
import kafka from '../src/index.js'

let broker: BrokerHandle

// Brokers allow no shorter session than six seconds by default.
beforeAll(async () => {
  broker = await startBroker('kafka', { config: ['group.min.session.timeout.ms=1000'] })
  // The first group of a broker waits until it has made the topic of all groups' offsets.
  const transport = new Transport(kafka, broker.url, { environment: {} })
  await transport.consumer('first', { group: 'first', connectTimeoutMs: 90_000 }).init()
  await transport.close()
})

afterAll(() => broker?.remove())

crashConformance({
  adapter: kafka,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: () => broker.url,
  consumer: { kafka: { sessionTimeoutMs: 3_000, heartbeatIntervalMs: 300 } },
  takeoverMs: 10_000,
  blockMs: 5_000,
})
