import { arrivalAttacks } from '@streamswitch/testkit'
import redis from '../src/index.js'
import { brokerUrl } from './broker-url.js'
import { redisCliClient } from './redis-cli.js'

arrivalAttacks({
  adapter: redis,
  module: new URL('../dist/index.js', import.meta.url).href,
  url: brokerUrl,
  foreign: redisCliClient(brokerUrl),
})
