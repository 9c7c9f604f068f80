import { crashConformance } from '@streamswitch/testkit'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'

crashConformance({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  options: { memberIntervalMs: 200 },
})
