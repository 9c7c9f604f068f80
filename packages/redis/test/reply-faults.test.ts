import { replyFaults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import redis from '../src/index.js'
import { redisCli } from './redis-cli.js'

let stand: ProxiedBroker

replyFaults({
  adapter: redis,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: async () => {
    stand = await startProxiedBroker('redis')
    return { ...stand, receiverUrl: stand.broker.url }
  },
  options: { leaseMs: 1_500, heartbeatMs: 300, callTimeoutMs: 1_500 },
  consumer: { probeIntervalMs: 500 },
  inboxes: async (prefix) => {
    const keys = await redisCli(stand.broker.url, ['--scan', '--pattern', `${prefix}streamswitch-replies*`])
    return keys.split('\n').filter((key) => key !== '')
  },
})
