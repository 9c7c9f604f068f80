import { effectivelyOnce } from '@streamswitch/testkit'
import { brokerUrl } from './broker-url.js'

effectivelyOnce({
  name: 'redis',
  adapter: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  options: { leaseMs: 2_000, heartbeatMs: 400 },
})
