import { faults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import rabbitmqStream from '../src/index.js'
import { streamMeans, TRIM_RETENTION } from './support/broker-means.js'

let stand: ProxiedBroker

faults({
  adapter: rabbitmqStream,
  module: new URL('../dist/index.js', import.meta.url).href,
  async stand() {
    stand = await startProxiedBroker('rabbitmq-stream')
    return stand
  },
  means: streamMeans(() => stand.broker),
  trimRetention: TRIM_RETENTION,
  // Heartbeats of one second, missed twice.
  sessionMs: 2_000,
  options: { heartbeatSeconds: 1, callTimeoutMs: 2_000 },
  producer: { publishTimeoutMs: 2_000, probeIntervalMs: 1_000 },
  consumer: { probeIntervalMs: 1_000 },
  publishDedupe: (topic) => ({ 'rabbitmq-stream': { publisherName: `publisher-of-${topic}` } }),
  // Positions are stored every 200 ms (commitIntervalMs), and that takes a round trip.
  ackIntervalMs: 250,
  // Streams younger than that are lost with the broker (RabbitMQ 4.0).
  ripeMs: 2_000,
  stall: { stallTimeoutMs: 1_000, recoveredMs: 20_000 },
  recovery: {
    // Partitions that the broker leaves without an owner are found after 5 s of silence, and taken 3 s later.
    brokerKilled: 25_000,
    connectionLost: 20_000,
    connectionSilent: 25_000,
    consumerKilled: 20_000,
    consumerFrozen: 20_000,
    producerRestarted: 8_000,
    exit: 12_000,
  },
})
