import { crashConformance } from '@streamswitch/testkit'
import redis from '../src/index.js'
import { brokerUrl } from './broker-url.js'

crashConformance({
  adapter: redis,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  options: { leaseMs: 1_000, heartbeatMs: 250, claimIdleMs: 1_000 },
  blockMs: 3_000,
})
