import { conformance } from '@streamswitch/testkit'
import memory from '../src/index.js'

const maxPayloadBytes = 256 * 1024

conformance({
  adapter: memory,
  url: () => `memory://conformance?maxPayloadBytes=${maxPayloadBytes}`,
  limits: { maxPayloadBytes },
})
