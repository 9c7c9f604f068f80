import { replyFaults } from '@streamswitch/testkit'
import { startProxiedBroker } from '@streamswitch/testkit/faults'
import rabbitmqStream from '../src/index.js'

replyFaults({
  adapter: rabbitmqStream,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: () => startProxiedBroker('rabbitmq-stream'),
  options: { heartbeatSeconds: 1, callTimeoutMs: 2_000 },
  consumer: { probeIntervalMs: 1_000 },
  takeoverMs: 20_000,
})
