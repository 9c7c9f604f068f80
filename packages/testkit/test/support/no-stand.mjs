// A fault suite whose stand can't be had: it says so, or fails, as the variable `STAND` tells.
import { faults } from '@streamswitch/testkit'
import adapter from './file-adapter.mjs'

faults({
  adapter,
  module: new URL('file-adapter.mjs', import.meta.url).href,
  stand: async () => {
    if (process.env.STAND === 'fails') throw new Error('the broker ended before it answered')
    return 'the broker at hand is not ours'
  },
  ackIntervalMs: 0,
  recovery: {
    brokerKilled: 1,
    connectionLost: 1,
    connectionSilent: 1,
    consumerKilled: 1,
    consumerFrozen: 1,
    producerRestarted: 1,
    exit: 1,
  },
})
