import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { replyFaults } from '@streamswitch/testkit'
import { type ProxiedBroker, startProxiedBroker } from '@streamswitch/testkit/faults'
import amqp from '../src/index.js'

let stand: ProxiedBroker

replyFaults({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  stand: async () => {
    stand = await startProxiedBroker('amqp')
    return { ...stand, receiverUrl: stand.broker.url }
  },
  options: { heartbeatSeconds: 1, callTimeoutMs: 2_000, memberIntervalMs: 200 },
  inboxes: async (prefix) => {
    const list = ['--quiet', 'list_queues', 'name', '--no-table-headers']
    const { stdout } = await promisify(execFile)(stand.broker.tool('rabbitmqctl'), list)
    return stdout.split('\n').filter((queue) => queue.startsWith(`${prefix}streamswitch-replies`))
  },
})
