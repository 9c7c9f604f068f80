import { faults } from '@streamswitch/testkit'
import { findFreePort } from '@streamswitch/testkit/brokers'
import { TcpProxy } from '@streamswitch/testkit/faults'
import http from '../src/index.js'

faults({
  adapter: http,
  module: new URL('../dist/index.js', import.meta.url).href,
  // There is no broker: the receiver takes its place, and senders reach it through the proxy.
  async stand() {
    const port = await findFreePort()
    const proxy = await TcpProxy.start({ port })
    return {
      proxy,
      url: `http://127.0.0.1:${proxy.port}`,
      receiverUrl: `http://127.0.0.1:${port}`,
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
  options: { responseTimeoutMs: 1_500, connectionTimeoutMs: 1_000 },
  partitions: 1,
  // The response is the ack.
  ackIntervalMs: 0,
  recovery: {
    brokerKilled: 10_000,
    connectionLost: 8_000,
    connectionSilent: 12_000,
    consumerKilled: 8_000,
    consumerFrozen: 10_000,
    producerRestarted: 6_000,
    exit: 10_000,
  },
})
