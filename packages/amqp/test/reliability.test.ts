import { faults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import amqp from '../src/index.js'
import { amqpMeans } from './support/broker-means.js'

let stand: ProxiedBroker

faults({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  async stand() {
    stand = await startProxiedBroker('amqp')
    return stand
  },
  means: amqpMeans(() => stand.broker),
  // Heartbeats of one second, missed twice.
  sessionMs: 2_000,
  idlePackets: 2.5,
  options: { heartbeatSeconds: 1, callTimeoutMs: 2_000, memberIntervalMs: 200 },
  producer: { publishTimeoutMs: 2_000 },
  // Acks are written at once; the broker itself gives no more than the prefetch without them.
  ackIntervalMs: 0,
  // Queues younger than that are lost with the broker (RabbitMQ 4.0).
  ripeMs: 2_000,
  stall: { stallTimeoutMs: 3_000, recoveredMs: 15_000 },
  recovery: {
    brokerKilled: 12_000,
    connectionLost: 10_000,
    connectionSilent: 14_000,
    consumerKilled: 8_000,
    consumerFrozen: 10_000,
    producerRestarted: 6_000,
    exit: 10_000,
  },
})
