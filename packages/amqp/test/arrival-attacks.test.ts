import { arrivalAttacks } from '@streamswitch/testkit'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { managementApi } from './support/management-api.js'

arrivalAttacks({
  adapter: amqp,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  foreign: managementApi,
})
