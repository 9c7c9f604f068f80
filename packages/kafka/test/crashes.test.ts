import { crashConformance } from '@streamswitch/testkit'
import kafka from '../src/index.js'
import { brokerUrl } from './support/broker.js'

crashConformance({
  adapter: kafka,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  // Brokers allow no shorter session than six seconds by default.
  consumer: { kafka: { sessionTimeoutMs: 6_000 } },
  takeoverMs: 10_000,
})
