import { createAcls, type KafkaAcl } from './kafka-acls.js'
import { fillRights, type RightsParameters } from './rights-file.js'

const LOGIN = 'org.apache.kafka.common.security.plain.PlainLoginModule required'

/** Where the listeners of a Kafka are, whose users are limited. */
export interface KafkaListeners {
  /** Unencrypted and unauthenticated: the administrator's. */
  readonly plainPort: number
  readonly saslPort: number
  readonly controllerPort: number
}

/** Configuration of a broker with an authorizer, whose users log in by SASL/PLAIN with this password. */
export function kafkaUsersConfiguration(
  { plainPort, saslPort, controllerPort }: KafkaListeners,
  users: readonly string[],
  password: string,
): readonly string[] {
  const listeners = `PLAINTEXT://127.0.0.1:${plainPort},SASL_PLAINTEXT://127.0.0.1:${saslPort}`
  const logins = users.map((user) => `user_${user}="${password}"`).join(' ')
  return [
    `listeners=${listeners},CONTROLLER://127.0.0.1:${controllerPort}`,
    `advertised.listeners=${listeners}`,
    'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT',
    'sasl.enabled.mechanisms=PLAIN',
    `listener.name.sasl_plaintext.plain.sasl.jaas.config=${LOGIN} ${logins};`,
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users=User:ANONYMOUS',
  ]
}

/** The lines of a file that `kafka-acls` takes, without comments, filled in, as its arguments. */
export function kafkaAclLines(text: string, parameters: RightsParameters): readonly (readonly string[])[] {
  return fillRights(text, parameters)
    .split('\n')
    .filter((line) => line.startsWith('--'))
    .map((line) => line.split(' '))
}

/** What those lines grant. Throws for an argument that isn't known here. */
export function kafkaAcls(text: string, parameters: RightsParameters): readonly KafkaAcl[] {
  return kafkaAclLines(text, parameters).flatMap(aclsOf)
}

function aclsOf(words: readonly string[]): KafkaAcl[] {
  let user = ''
  let pattern: KafkaAcl['pattern'] = 'literal'
  const operations: string[] = []
  const resources: Pick<KafkaAcl, 'resource' | 'name'>[] = []
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]
    if (word === '--add') continue
    at += 1
    const value = words[at] ?? ''
    if (word === '--allow-principal') user = value.replace('User:', '')
    else if (word === '--operation') operations.push(value)
    else if (word === '--resource-pattern-type') pattern = value as KafkaAcl['pattern']
    else if (word === '--topic' || word === '--group')
      resources.push({ resource: word.slice(2) as 'topic', name: value })
    else throw new Error(`unknown argument ${word} in ${words.join(' ')}`)
  }
  return resources.flatMap((resource) => operations.map((operation) => ({ user, operation, pattern, ...resource })))
}

/** Grants what a file says, on the administrator's listener. */
export function grantKafka(plainPort: number, text: string, parameters: RightsParameters): Promise<void> {
  return createAcls(plainPort, kafkaAcls(text, parameters))
}
