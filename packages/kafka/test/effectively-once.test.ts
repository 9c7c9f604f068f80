import { effectivelyOnce } from '@streamswitch/testkit'
import { brokerUrl } from './support/broker.js'

effectivelyOnce({
  name: 'kafka',
  adapter: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  consumer: { kafka: { sessionTimeoutMs: 6_000, rebalanceTimeoutMs: 10_000 } },
})
