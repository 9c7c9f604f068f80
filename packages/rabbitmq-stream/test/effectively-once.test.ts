import { effectivelyOnce } from '@streamswitch/testkit'
import { BROKER_URL } from './support/broker.js'

effectivelyOnce({
  name: 'rabbitmq-stream',
  adapter: new URL('../dist/index.js', import.meta.url).href,
  url: BROKER_URL,
})
