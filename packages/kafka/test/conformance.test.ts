import { conformance } from '@streamswitch/testkit'
import kafka from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { kcat } from './support/kcat.js'

const maxPayloadBytes = 256 * 1024

conformance({
  adapter: kafka,
  url: () => brokerUrl,
  openOptions: { options: { maxPayloadBytes } },
  limits: { maxPayloadBytes },
  // Brokers allow no shorter session than six seconds by default.
  shortTimeouts: { consumer: { kafka: { sessionTimeoutMs: 6_000 } }, handlerMs: 13_000 },
  foreign: kcat,
})
