import { crashConformance } from '@streamswitch/testkit'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'

crashConformance({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  options: { memberIntervalMs: 200, heartbeatSeconds: 1 },
  // The broker gives a connection up after two heartbeats, and looks every half one.
  blockMs: 5_000,
})
