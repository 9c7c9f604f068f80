import { arrivalAttacks } from '@streamswitch/testkit'
import rabbitmqStream from '../src/index.js'
import { BROKER_URL } from './support/broker.js'
import { foreignClient } from './support/foreign.js'

arrivalAttacks({
  adapter: rabbitmqStream,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: BROKER_URL,
  foreign: foreignClient(),
})
