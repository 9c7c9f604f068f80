import { conformance } from '@streamswitch/testkit'
import redis from '../src/index.js'
import { brokerUrl } from './broker-url.js'
import { redisCliClient } from './redis-cli.js'

const maxPayloadBytes = 1024 * 1024

conformance({
  adapter: redis,
  url: () => brokerUrl,
  openOptions: { options: { maxPayloadBytes } },
  limits: { maxPayloadBytes },
  shortTimeouts: { transport: { leaseMs: 1_000, heartbeatMs: 250, claimIdleMs: 1_000 }, handlerMs: 3_000 },
  foreign: redisCliClient(brokerUrl),
})
