import { faults } from '@streamswitch/testkit'
import { startProxiedBroker } from '@streamswitch/testkit/faults'
import redis from '../src/index.js'

faults({
  adapter: redis,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: () => startProxiedBroker('redis'),
  options: { leaseMs: 1_500, heartbeatMs: 300, callTimeoutMs: 1_500 },
  producer: { publishTimeoutMs: 1_500, probeIntervalMs: 500 },
  consumer: { probeIntervalMs: 500 },
  // Acks are sent at once; the next ones gather until they are answered: a round trip, on a busy machine.
  ackIntervalMs: 100,
  recovery: {
    brokerKilled: 5_000,
    connectionLost: 5_000,
    connectionSilent: 6_000,
    consumerKilled: 5_000,
    consumerFrozen: 6_000,
    producerRestarted: 5_000,
    exit: 10_000,
  },
})
