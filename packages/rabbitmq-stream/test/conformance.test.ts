import { conformance } from '@streamswitch/testkit'
import rabbitmqStream from '../src/index.js'
import { MAX_PAYLOAD_BYTES } from '../src/options.js'
import { BROKER_URL } from './support/broker.js'
import { foreignClient } from './support/foreign.js'

conformance({
  adapter: rabbitmqStream,
  url: () => BROKER_URL,
  limits: { maxPayloadBytes: MAX_PAYLOAD_BYTES },
  foreign: foreignClient(),
  badCredentialsUrl: BROKER_URL.replace(/\/\/[^@]*@/, '//nobody:wrong-secret@'),
})
