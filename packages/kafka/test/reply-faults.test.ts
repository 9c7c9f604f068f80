import { replyFaults } from '@streamswitch/testkit'
import { startProxiedBroker } from '@streamswitch/testkit/faults'
import kafka from '../src/index.js'

replyFaults({
  adapter: kafka,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: () => startProxiedBroker('kafka', { config: ['group.min.session.timeout.ms=1000'] }),
  options: { requestTimeoutMs: 2_000, connectionTimeoutMs: 2_000 },
  consumer: { kafka: { sessionTimeoutMs: 3_000, heartbeatIntervalMs: 300, rebalanceTimeoutMs: 6_000 } },
})
