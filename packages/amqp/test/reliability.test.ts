import { faults } from '@streamswitch/testkit'
import { startProxiedBroker } from '@streamswitch/testkit/faults'
import amqp from '../src/index.js'

faults({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: () => startProxiedBroker('amqp'),
  options: { heartbeatSeconds: 1, callTimeoutMs: 2_000, memberIntervalMs: 200 },
  producer: { publishTimeoutMs: 2_000 },
  // Acks are written at once; the broker itself gives no more than the prefetch without them.
  ackIntervalMs: 0,
  // Queues younger than that are lost with the broker (RabbitMQ 4.0).
  ripeMs: 2_000,
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
