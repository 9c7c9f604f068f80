import { crashConformance } from '@streamswitch/testkit'
import rabbitmqStream from '../src/index.js'
import { BROKER_URL } from './support/broker.js'

crashConformance({
  adapter: rabbitmqStream,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: BROKER_URL,
  options: { heartbeatSeconds: 1 },
  blockMs: 5_000,
})
