import { tlsCases } from '@streamswitch/testkit'
import { findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import adapter from '../src/index.js'

tlsCases({
  adapter,
  credentials: { options: { username: 'guest' }, password: 'guest' },
  serve: async ({ caFile, certFile, keyFile }) => {
    const tlsPort = await findFreePort()
    const broker = await startBroker('rabbitmq', {
      config: [
        `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
        `ssl_options.cacertfile = ${caFile}`,
        `ssl_options.certfile = ${certFile}`,
        `ssl_options.keyfile = ${keyFile}`,
        'ssl_options.verify = verify_peer',
        'ssl_options.fail_if_no_peer_cert = true',
      ],
    })
    return {
      certifiedUrl: `amqps://127.0.0.1:${tlsPort}`,
      urls: [`amqps://127.0.0.1:${tlsPort}`],
      plainPortUrl: `amqps://127.0.0.1:${broker.ports['amqp']}`,
      tlsPortUrl: `amqp://127.0.0.1:${tlsPort}`,
      restart: async () => {
        await broker.stop()
        await broker.start()
      },
      remove: () => broker.remove(),
    }
  },
  alwaysCertified: true,
  wrongPasswordSays: 'password',
  plainPort: { code: 'INVALID_ARGUMENT', says: "doesn't use TLS" },
  tlsPort: { code: 'UNAVAILABLE', says: 'closed abruptly' },
})
