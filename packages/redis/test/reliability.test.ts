import { faults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import redis from '../src/index.js'
import { redisMeans } from './broker-means.js'

let stand: ProxiedBroker

faults({
  adapter: redis,
  module: new URL('../dist/index.js', import.meta.url).href,
  async stand() {
    stand = await startProxiedBroker('redis')
    return stand
  },
  means: redisMeans(() => stand.broker.url),
  sessionMs: 1_500,
  idlePackets: 2.5,
  options: { leaseMs: 1_500, heartbeatMs: 300, callTimeoutMs: 1_500 },
  producer: { publishTimeoutMs: 1_500, probeIntervalMs: 500 },
  consumer: { probeIntervalMs: 500 },
  marks: 'redis',
  // Acks are sent at once; the next ones gather until they are answered: a round trip, on a busy machine.
  ackIntervalMs: 100,
  recovery: {
    brokerKilled: 12_000,
    connectionLost: 10_000,
    connectionSilent: 14_000,
    consumerKilled: 8_000,
    consumerFrozen: 8_000,
    producerRestarted: 6_000,
    exit: 12_000,
  },
})
