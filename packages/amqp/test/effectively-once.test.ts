import { effectivelyOnce } from '@streamswitch/testkit'
import { brokerUrl } from './support/broker.js'

effectivelyOnce({
  name: 'amqp',
  adapter: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  replay: false,
})
