import { arrivalAttacks } from '@streamswitch/testkit'
import kafka from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { kcat } from './support/kcat.js'

arrivalAttacks({
  adapter: kafka,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  foreign: kcat,
})
