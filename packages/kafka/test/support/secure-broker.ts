import { type BrokerHandle, findFreePort, startBroker } from '@streamswitch/testkit/brokers'

/** A broker with access control, and its listeners. Whoever comes without a name may do everything. */
export interface SecureBroker {
  readonly handle: BrokerHandle
  readonly plainPort: number
  /** PLAIN, unencrypted: users `admin`, `app` and `stranger`, with the password `<user>-secret`. */
  readonly saslPort: number
}

const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required'

/** Starts one. */
export async function startSecureBroker(): Promise<SecureBroker> {
  const [plainPort, saslPort, controllerPort] = [await findFreePort(), await findFreePort(), await findFreePort()]
  const listeners = `PLAINTEXT://127.0.0.1:${plainPort},SASL_PLAINTEXT://127.0.0.1:${saslPort}`
  const users = ['admin', 'app', 'stranger'].map((user) => `user_${user}="${user}-secret"`).join(' ')
  const handle = await startBroker('kafka', {
    port: plainPort,
    ports: { controller: controllerPort },
    config: [
      `listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
      `advertised.listeners=${listeners}`,
      'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT',
      'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512',
      `listener.name.sasl_plaintext.plain.sasl.jaas.config=${LOGIN} ${users};`,
      'listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;',
      'listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;',
      'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      'super.users=User:ANONYMOUS;User:admin',
    ],
  })
  return { handle, plainPort, saslPort }
}
