import { tlsCases } from '@streamswitch/testkit'
import { findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import adapter from '../src/index.js'

tlsCases({
  adapter,
  credentials: { options: { username: 'guest' }, password: 'guest' },
  serve: async ({ caFile, certFile, keyFile }) => {
    const port = await findFreePort()
    const broker = await startBroker('rabbitmq', {
      config: [
        `ssl_options.cacertfile = ${caFile}`,
        `ssl_options.certfile = ${certFile}`,
        `ssl_options.keyfile = ${keyFile}`,
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = true',
        `stream.listeners.ssl.1 = 127.0.0.1:${port}`,
        'stream.advertised_tls_host = 127.0.0.1',
        `stream.advertised_tls_port = ${port}`,
      ],
    })
    return {
      certifiedUrl: `rabbitmq-stream+tls://127.0.0.1:${port}`,
      urls: [`rabbitmq-stream+tls://127.0.0.1:${port}`],
      plainPortUrl: `rabbitmq-stream+tls://127.0.0.1:${broker.ports['stream']}`,
      tlsPortUrl: `rabbitmq-stream://127.0.0.1:${port}`,
      restart: async () => {
        await broker.stop()
        await broker.start()
      },
      remove: () => broker.remove(),
    }
  },
  alwaysCertified: true,
  wrongPasswordSays: 'password',
  plainPort: { code: 'UNAVAILABLE', says: 'before secure TLS connection was established' },
  tlsPort: { code: 'UNAVAILABLE', says: 'a frame could not be read' },
})
