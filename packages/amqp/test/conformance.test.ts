import { conformance } from '@streamswitch/testkit'
import amqp from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { managementApi } from './support/management-api.js'

const maxPayloadBytes = 256 * 1024
const wrongPassword = new URL(brokerUrl)
wrongPassword.password = 'wrong-secret'

conformance({
  adapter: amqp,
  url: () => brokerUrl,
  openOptions: { options: { maxPayloadBytes, memberIntervalMs: 200 } },
  limits: { maxPayloadBytes },
  shortTimeouts: { transport: { heartbeatSeconds: 1 }, handlerMs: 4_000 },
  foreign: managementApi,
  badCredentialsUrl: wrongPassword.href,
})
