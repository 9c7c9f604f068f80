import { tlsCases } from '@streamswitch/testkit'
import { findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import redis from '../src/index.js'

const PASSWORD = 'right-secret'

tlsCases({
  adapter: redis,
  credentials: { password: PASSWORD },
  serve: async ({ caFile, certFile, keyFile }) => {
    const tlsPort = await findFreePort()
    const broker = await startBroker('redis', {
      config: [
        `requirepass ${PASSWORD}`,
        `tls-port ${tlsPort}`,
        `tls-ca-cert-file ${caFile}`,
        `tls-cert-file ${certFile}`,
        `tls-key-file ${keyFile}`,
        'tls-auth-clients no',
      ],
    })
    const certifiedPort = await findFreePort()
    const certified = await startBroker('redis', {
      config: [
        `requirepass ${PASSWORD}`,
        `tls-port ${certifiedPort}`,
        `tls-ca-cert-file ${caFile}`,
        `tls-cert-file ${certFile}`,
        `tls-key-file ${keyFile}`,
      ],
    })
    return {
      certifiedUrl: `rediss://127.0.0.1:${certifiedPort}`,
      urls: [`rediss://127.0.0.1:${tlsPort}`, `rediss://localhost:${tlsPort}`],
      plainPortUrl: `rediss://127.0.0.1:${broker.ports['redis']}`,
      tlsPortUrl: `redis://127.0.0.1:${tlsPort}`,
      restart: async () => {
        await broker.stop()
        await broker.start()
      },
      remove: async () => {
        await Promise.all([broker.remove(), certified.remove()])
      },
    }
  },
  wrongPasswordSays: 'WRONGPASS',
  // Redis takes the handshake for the beginning of a command and waits for the rest: only the time limit ends it.
  plainPort: { code: 'UNAVAILABLE', says: 'the server did not answer in time', options: { callTimeoutMs: 300 } },
  tlsPort: { code: 'UNAVAILABLE', says: 'the connection is gone' },
})
