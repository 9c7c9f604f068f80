import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { tlsCases } from '@streamswitch/testkit'
import { brokerTool, findFreePort, startBroker } from '@streamswitch/testkit/brokers'
import kafka from '../src/index.js'

const PASSWORD = 'right-secret'
const MODULES = 'org.apache.kafka.common.security'

tlsCases({
  adapter: kafka,
  credentials: { options: { username: 'app' }, password: PASSWORD },
  serve: async ({ caFile, keyStoreFile }) => {
    const plainPort = await findFreePort()
    const tlsPort = await findFreePort()
    const certifiedPort = await findFreePort()
    const controllerPort = await findFreePort()
    const listeners = `PLAINTEXT://127.0.0.1:${plainPort},SECURE://127.0.0.1:${tlsPort},CERTIFIED://127.0.0.1:${certifiedPort}`
    const broker = await startBroker('kafka', {
      port: plainPort,
      ports: { controller: controllerPort },
      config: [
        `listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
        `advertised.listeners=${listeners}`,
        'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL,CERTIFIED:SASL_SSL',
        'listener.name.certified.ssl.client.auth=required',
        'listener.name.certified.sasl.enabled.mechanisms=PLAIN',
        `listener.name.certified.plain.sasl.jaas.config=${MODULES}.plain.PlainLoginModule required user_app="${PASSWORD}";`,
        'listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512',
        `listener.name.secure.plain.sasl.jaas.config=${MODULES}.plain.PlainLoginModule required user_app="${PASSWORD}";`,
        `listener.name.secure.scram-sha-512.sasl.jaas.config=${MODULES}.scram.ScramLoginModule required;`,
        'ssl.keystore.type=PEM',
        `ssl.keystore.location=${keyStoreFile}`,
        'ssl.truststore.type=PEM',
        `ssl.truststore.location=${caFile}`,
      ],
    })
    await promisify(execFile)(await brokerTool('kafka-configs'), [
      ...['--bootstrap-server', `127.0.0.1:${plainPort}`, '--alter', '--entity-type', 'users', '--entity-name', 'app'],
      ...['--add-config', `SCRAM-SHA-512=[password=${PASSWORD}]`],
    ])
    return {
      certifiedUrl: `kafka://127.0.0.1:${certifiedPort}?tls=true`,
      urls: [`kafka://127.0.0.1:${tlsPort}?tls=true`],
      plainPortUrl: `kafka://127.0.0.1:${plainPort}?tls=true`,
      tlsPortUrl: `kafka://127.0.0.1:${tlsPort}`,
      restart: async () => {
        await broker.stop()
        await broker.start()
      },
      remove: () => broker.remove(),
    }
  },
  logins: { 'password by PLAIN': {}, 'password by SCRAM': { saslMechanism: 'scram-sha-512' } },
  wrongPasswordSays: 'password',
  plainPort: { code: 'UNAVAILABLE', says: 'before secure TLS connection was established' },
  tlsPort: { code: 'UNAVAILABLE', says: 'Closed connection' },
})
