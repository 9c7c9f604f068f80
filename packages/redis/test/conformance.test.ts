import { Transport } from '@streamswitch/core'
import { conformance } from '@streamswitch/testkit'
import redis, { RedisDedupeStore } from '../src/index.js'
import { brokerUrl } from './broker-url.js'
import { redisCliClient } from './redis-cli.js'

const maxPayloadBytes = 1024 * 1024

conformance({
  adapter: redis,
  url: () => brokerUrl,
  openOptions: { options: { maxPayloadBytes } },
  limits: { maxPayloadBytes },
  shortTimeouts: { transport: { leaseMs: 1_000, heartbeatMs: 250, claimIdleMs: 1_000 }, handlerMs: 3_000 },
  dedupeStores: {
    'the same server': (url) => open(url),
    'another database': (url) => open(`${url}/7`),
  },
  foreign: redisCliClient(brokerUrl),
})

function open(url: string) {
  const transport = new Transport(redis, url, { environment: {} })
  return { store: new RedisDedupeStore(transport), close: () => transport.close() }
}
