import { faults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import kafka from '../src/index.js'
import { kafkaMeans } from './support/broker-means.js'

let stand: ProxiedBroker

faults({
  adapter: kafka,
  module: new URL('../dist/index.js', import.meta.url).href,
  async stand() {
    stand = await startProxiedBroker('kafka', { config: ['group.min.session.timeout.ms=1000'] })
    return stand
  },
  means: kafkaMeans(() => stand.broker),
  sessionMs: 3_000,
  idlePackets: 5,
  options: { requestTimeoutMs: 2_000, connectionTimeoutMs: 2_000 },
  producer: { publishTimeoutMs: 3_000 },
  consumer: {
    kafka: { sessionTimeoutMs: 3_000, heartbeatIntervalMs: 300, rebalanceTimeoutMs: 6_000, metadataMaxAgeMs: 1_000 },
  },
  // An idempotent producer of kafkajs repeats a request once: the broker recognises it.
  driverRepeats: true,
  ackIntervalMs: 100,
  stall: { stallTimeoutMs: 1_000, recoveredMs: 15_000 },
  recovery: {
    brokerKilled: 15_000,
    connectionLost: 12_000,
    connectionSilent: 20_000,
    consumerKilled: 15_000,
    consumerFrozen: 15_000,
    producerRestarted: 8_000,
    exit: 12_000,
  },
})
